package crashgw

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Kind says what a ledger line records.
type Kind string

// The kinds of ledger lines.
const (
	KindExecuted Kind = "executed" // /item did its work
	KindRepeat   Kind = "repeat"   // /item knew the idempotency key and did nothing
	KindDeath    Kind = "death"    // a die= with times= that is about to happen
)

// Entry is one line of the ledger, in JSON.
type Entry struct {
	Time       time.Time `json:"time"`
	PID        int       `json:"pid"`
	Generation string    `json:"generation,omitempty"` // $CREEL_GENERATION of the process
	Kind       Kind      `json:"kind"`
	Method     string    `json:"method"`
	ID         string    `json:"id"`
	Key        string    `json:"key,omitempty"` // Idempotency-Key
	SHA256     string    `json:"sha256"`        // of the request's body, hexadecimal
	Bytes      int64     `json:"bytes"`         // of the request's body
}

// lockFor bounds the wait for another process that holds the ledger's lock.
const lockFor = 5 * time.Second

// ledger is the writing side. Each line is one write(2) with O_APPEND; the lock
// (flock(2), released by the kernel when its holder dies) makes "look up, then
// write" one step among processes.
type ledger struct {
	path string

	mu     sync.Mutex
	f      *os.File
	known  int64            // the file's first bytes that keys and deaths reflect
	keys   map[string]bool  // idempotency keys of executed lines
	deaths map[string]int64 // death lines by id
}

// openLedger opens or creates the file. The index is built when it is first
// asked for, so that a long ledger costs nothing at boot.
func openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open the ledger: %w", err)
	}
	return &ledger{path: path, f: f, keys: make(map[string]bool), deaths: make(map[string]int64)}, nil
}

// record writes the line of an executed request or, if keyed and the key is
// known, of a repeat. It tells which.
func (l *ledger) record(ctx context.Context, e Entry, keyed bool) (repeat bool, err error) {
	err = l.locked(ctx, func() error {
		if keyed {
			if err := l.catchUp(); err != nil {
				return err
			}
			if l.keys[e.Key] {
				repeat = true
				e.Kind = KindRepeat
			}
		}
		return l.append(e)
	})
	return repeat, err
}

// recordDeath writes the line of a death unless the id has died so many times
// already. It tells whether it did.
func (l *ledger) recordDeath(ctx context.Context, e Entry, times int64) (dies bool, err error) {
	err = l.locked(ctx, func() error {
		if err := l.catchUp(); err != nil {
			return err
		}
		if l.deaths[e.ID] >= times {
			return nil
		}
		dies = true
		return l.append(e)
	})
	return dies, err
}

// locked calls f while no other goroutine and no other process writes.
func (l *ledger) locked(ctx context.Context, f func() error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, lockFor)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		err := unix.Flock(int(l.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot lock the ledger %s: %w", l.path, err)
		}
		if err := sleep(ctx, 200*time.Microsecond); err != nil {
			return fmt.Errorf("cannot lock the ledger %s, another process holds it: %w", l.path, err)
		}
	}
	defer func() {
		if e := unix.Flock(int(l.f.Fd()), unix.LOCK_UN); e != nil {
			err = errors.Join(err, fmt.Errorf("cannot unlock the ledger %s: %w", l.path, e))
		}
	}()
	return f()
}

// append writes one line. The lock is held.
func (l *ledger) append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cannot encode a ledger line: %w", err)
	}
	torn, err := l.torn()
	if err != nil {
		return err
	}
	if torn {
		line = append([]byte{'\n'}, line...)
	}
	line = append(line, '\n')
	for {
		n, err := unix.Write(int(l.f.Fd()), line)
		switch {
		case err == syscall.EINTR && n <= 0:
			continue
		case err != nil:
			return fmt.Errorf("cannot write to the ledger %s: %w", l.path, err)
		case n < len(line):
			return fmt.Errorf("cannot write to the ledger %s: %w", l.path, io.ErrShortWrite)
		}
		return nil
	}
}

// torn tells whether the file ends within a line. The kernel may cut a write
// between two pages when its process is killed; that line was never answered,
// and must not spoil the next one.
func (l *ledger) torn() (bool, error) {
	end, err := l.f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, fmt.Errorf("cannot find the end of the ledger %s: %w", l.path, err)
	}
	if end == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := l.f.ReadAt(last[:], end-1); err != nil {
		return false, fmt.Errorf("cannot read the end of the ledger %s: %w", l.path, err)
	}
	return last[0] != '\n', nil
}

// catchUp brings the index up to what all processes have written. The lock is
// held. Lines without a key and no death are not decoded: they are the many.
func (l *ledger) catchUp() error {
	r := bufio.NewReader(io.NewSectionReader(l.f, l.known, 1<<62))
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a rest without a line end is not counted as known
		}
		if err != nil {
			return fmt.Errorf("cannot read the ledger %s: %w", l.path, err)
		}
		l.known += int64(len(line))
		if !bytes.Contains(line, []byte(`"key":`)) && !bytes.Contains(line, []byte(`"kind":"death"`)) {
			continue
		}
		var e Entry
		if json.Unmarshal(line, &e) != nil {
			continue // torn: never answered
		}
		switch e.Kind {
		case KindExecuted:
			l.keys[e.Key] = true
		case KindDeath:
			l.deaths[e.ID]++
		}
	}
}
