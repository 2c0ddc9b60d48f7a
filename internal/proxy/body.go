package proxy

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// errSuperseded ends the reading of a body by an attempt that has been given up.
var errSuperseded = errors.New("this attempt was given up")

// errNotKept says that a body was read by an earlier attempt and not kept.
var errNotKept = errors.New("the request's body was not kept, so it cannot be sent again")

// budget bounds the bytes of bodies that are kept for all requests together.
type budget struct {
	limit    int64 // read and written atomically
	used     atomic.Int64
	note     func(delta int64) // for metrics; may be nil
	homeless atomic.Int64      // bytes in memory that are meant for the disk
	disk     func(error)       // told whether the disk takes them; may be nil
}

// maxHomeless bounds the memory that is used, for all requests together, in
// place of a disk that takes nothing.
const maxHomeless = 64 << 20

// takeHomeless makes room in memory for bytes that are counted already.
func (b *budget) takeHomeless(n int64) bool {
	if b.homeless.Add(n) > maxHomeless {
		b.homeless.Add(-n)
		return false
	}
	return true
}

// bound changes the limit. What is kept beyond a lower one stays.
func (b *budget) bound(limit int64) { atomic.StoreInt64(&b.limit, limit) }

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > atomic.LoadInt64(&b.limit) {
		b.used.Add(-n)
		return false
	}
	if b.note != nil {
		b.note(n)
	}
	return true
}

func (b *budget) give(n int64) {
	b.used.Add(-n)
	if b.note != nil && n != 0 {
		b.note(-n)
	}
}

// keptBody is the body of a request that may be sent again: it streams from the
// client to the first attempt at once and is kept on the way, in memory first,
// then in a file that has no name, and behind that in memory again if the disk
// takes no more. It is written to the file in large pieces: what a write costs is
// for the most part the same for each. Later attempts read what was kept, and then
// stream on from where the first one stopped.
//
// At any moment one attempt reads it (the last that called reader). A read from
// the client that an abandoned attempt has begun is finished and kept: its bytes
// are the next attempt's.
type keptBody struct {
	src    io.Reader
	memory int64 // bytes kept in memory at most
	max    int64 // bytes kept at all
	budget *budget
	dir    string

	mu      sync.Mutex
	changed sync.Cond
	current *bodyReader
	filling bool // a read from the client is under way
	mem     []byte
	file    *os.File
	filed   int64   // bytes in file, which follow those in mem
	piece   *[]byte // holds what follows those in file; nil: there is no file
	pending int     // bytes in piece
	tail    []byte  // bytes that the disk has not taken, in place of a piece; nil: it takes them
	size    int64   // bytes kept
	end     error   // how the client's body ended: io.EOF, or what went wrong
	lost    bool    // some bytes are kept no longer
}

func newKeptBody(src io.Reader, memory, maximum int64, b *budget, dir string) *keptBody {
	k := &keptBody{src: src, memory: memory, max: maximum, budget: b, dir: dir}
	k.changed.L = &k.mu
	return k
}

// reader gives a new attempt the body from its beginning, and ends the reading
// of the attempt before it.
func (k *keptBody) reader() *bodyReader {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current = &bodyReader{body: k}
	if k.lost {
		k.end = errNotKept
	}
	k.changed.Broadcast()
	return k.current
}

// notKept tells whether bytes were taken from the client that are not there any
// more.
func (k *keptBody) notKept() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost
}

// close gives back what is kept. No read may be under way.
func (k *keptBody) close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	k.current = nil
}

// drop gives back what is kept. k.mu is held.
func (k *keptBody) drop() {
	k.budget.give(k.size)
	k.budget.homeless.Add(-int64(len(k.tail)))
	k.mem, k.tail, k.size = nil, nil, 0
	if k.file != nil {
		_ = k.file.Close() // the file has no name and nobody reads it any more
		k.file, k.filed = nil, 0
	}
	if k.piece != nil {
		pieces.Put(k.piece)
		k.piece, k.pending = nil, 0
	}
}

// keep adds bytes from the client. If there is no room for them nothing is kept
// from here on. k.mu is held.
func (k *keptBody) keep(b []byte) {
	n := int64(len(b))
	if k.lost || n == 0 {
		return
	}
	if k.size+n > k.max || !k.budget.take(n) {
		k.lost = true
		k.drop()
		return
	}
	if k.file == nil && k.tail == nil && k.size+n <= k.memory {
		k.mem = append(k.mem, b...)
		k.size += n
		return
	}
	k.size += n
	if k.tail == nil {
		rest, err := k.spill(b)
		if err == nil {
			return
		}
		b = k.unfiled(rest)
	}
	if !k.budget.takeHomeless(int64(len(b))) {
		k.lost = true
		k.drop()
		return
	}
	k.tail = append(k.tail, b...)
}

// pieceSize is the size of the pieces that are written to the file: half of what a
// write of 32 KiB at a time costs per byte, and no less with twice as much.
const pieceSize = 128 << 10

var pieces = sync.Pool{New: func() any { b := make([]byte, pieceSize); return &b }}

// spill puts bytes behind those in memory, into the file, and returns those that
// it could not. k.mu is held.
func (k *keptBody) spill(b []byte) (rest []byte, err error) {
	if k.file == nil {
		f, err := namelessFile(k.dir)
		if err != nil {
			if k.budget.disk != nil {
				k.budget.disk(err)
			}
			return b, err
		}
		k.file, k.piece = f, pieces.Get().(*[]byte)
	}
	for len(b) > 0 {
		if k.pending == pieceSize {
			_, err := k.file.WriteAt(*k.piece, k.filed)
			if k.budget.disk != nil {
				k.budget.disk(err)
			}
			if err != nil { // of a write that failed nothing counts
				return b, err
			}
			k.filed += pieceSize
			k.pending = 0
		}
		n := copy((*k.piece)[k.pending:], b)
		b = b[n:]
		k.pending += n
	}
	return nil, nil
}

// unfiled takes back what was to be written behind the file, with more behind it.
func (k *keptBody) unfiled(more []byte) []byte {
	var all []byte
	if k.piece != nil {
		all = append(all, (*k.piece)[:k.pending]...)
		pieces.Put(k.piece)
		k.piece, k.pending = nil, 0
	}
	return append(all, more...)
}

// bodyReader is one attempt's view of a keptBody.
type bodyReader struct {
	body *keptBody
	off  int64
}

func (r *bodyReader) Read(p []byte) (int, error) {
	k := r.body
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		switch {
		case k.current != r:
			return 0, errSuperseded
		case !k.lost && r.off < k.size:
			n, err := k.readKept(p, r.off)
			r.off += int64(n)
			return n, err
		case k.end != nil:
			return 0, k.end
		case k.filling:
			k.changed.Wait()
		default:
			return r.fill(p)
		}
	}
}

// fill reads from the client, for this attempt or, if it is given up meanwhile,
// for the next one. k.mu is held.
func (r *bodyReader) fill(p []byte) (int, error) {
	k := r.body
	k.filling = true
	k.mu.Unlock()
	n, err := k.src.Read(p)
	k.mu.Lock()
	k.filling = false
	k.keep(p[:n])
	if err != nil {
		k.end = err
	}
	k.changed.Broadcast()
	if k.current != r {
		if k.lost {
			k.end = errNotKept // the next attempt lacks what this one has read
		}
		return 0, errSuperseded
	}
	r.off += int64(n)
	if n > 0 {
		return n, nil // an error comes with the next read
	}
	return 0, err
}

// readKept reads at off of what is kept. k.mu is held.
func (k *keptBody) readKept(p []byte, off int64) (int, error) {
	inMem := int64(len(k.mem))
	switch {
	case off < inMem:
		return copy(p, k.mem[off:]), nil
	case off < inMem+k.filed:
		n, err := k.file.ReadAt(p[:min(int64(len(p)), inMem+k.filed-off)], off-inMem)
		if n > 0 {
			return n, nil
		}
		return 0, err
	}
	rest := k.tail
	if k.piece != nil {
		rest = (*k.piece)[:k.pending]
	}
	if off -= inMem + k.filed; off < int64(len(rest)) {
		return copy(p, rest[off:]), nil
	}
	return 0, errNotKept
}
