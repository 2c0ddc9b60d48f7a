package store

import (
	"reflect"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/kopia/kopia/repo/blob"
)

// kopia keeps the buffers that it has used, for ever, in a list of its own (up to
// 128 MB): after a Save of some size about two packs, 20 MB, stay that nothing
// needs, in a program that is to idle in 30 MB. Nothing that it exports gives
// them back. The buffers that it hands out point to the list, and that is how it
// is emptied here, by names and types that are looked at: a kopia that has changed
// keeps its buffers, and TestPool says so.

// pool is kopia's list of free buffers.
type pool struct {
	mu   *sync.Mutex
	free *[][]byte
}

// buffers is the pool, once it was seen.
var buffers atomic.Pointer[pool]

// notePool finds the pool by a buffer of kopia's that was written to.
func notePool(out blob.OutputBuffer) {
	if buffers.Load() == nil {
		if p := poolOf(out); p != nil {
			buffers.Store(p)
		}
	}
}

func poolOf(out any) *pool {
	b := reflect.ValueOf(out)
	if b.Kind() != reflect.Pointer || b.Elem().Kind() != reflect.Struct {
		return nil
	}
	alloc := b.Elem().FieldByName("alloc")
	if alloc.Kind() != reflect.Pointer || alloc.IsNil() || alloc.Elem().Kind() != reflect.Struct {
		return nil
	}
	mu, free := alloc.Elem().FieldByName("mu"), alloc.Elem().FieldByName("freeList")
	if !mu.IsValid() || mu.Type() != reflect.TypeFor[sync.Mutex]() || !free.IsValid() || free.Type() != reflect.TypeFor[[][]byte]() {
		return nil
	}
	return &pool{(*sync.Mutex)(unsafe.Pointer(mu.UnsafeAddr())), (*[][]byte)(unsafe.Pointer(free.UnsafeAddr()))}
}

// size is how much lies in the pool.
func (p *pool) size() (bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range *p.free {
		bytes += cap(b)
	}
	return bytes
}

// giveBack gives back what a long call took, at once.
func giveBack() {
	if p := buffers.Load(); p != nil {
		p.mu.Lock()
		*p.free = nil
		p.mu.Unlock()
	}
	runtime.GC() // other pools let go at the second collection
	debug.FreeOSMemory()
}
