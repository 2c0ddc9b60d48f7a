package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"golang.org/x/sys/unix"
)

// creator is a storage that can write a blob only if there is none.
type creator interface {
	create(ctx context.Context, id blob.ID, data []byte) error
	// stranger names something at the place that no repository has; "": nothing.
	stranger(ctx context.Context) (string, error)
}

// guard stands between kopia and a storage. It gives every request an end,
// tries again what may be passing, and tells a store that refuses from one that
// is away and from one that has lost something, which kopia's errors do not.
type guard struct {
	blob.Storage
	name     string
	patience time.Duration
	retry    bool // false: the storage itself does, or there is nothing to try again
	written  atomic.Int64
	recent   recent
	hidden   hidden // see salvage.go
}

// storageError is a request that failed for a reason that may pass.
type storageError struct {
	store, op string
	blob      blob.ID
	err       error
}

func (e *storageError) Error() string {
	return fmt.Sprintf("the snapshot store %s does not answer as it should (%s %s): %v", e.store, e.op, e.blob, e.err)
}

func (e *storageError) Unwrap() error { return e.err }

// refusal is an error of a storage that trying again does not mend.
type refusal struct {
	err  error
	hint string
	full bool
}

// access is the refusal for callers.
func (e *refusal) access(name string) *AccessError {
	return &AccessError{Store: name, Err: e.err, Hint: e.hint, Full: e.full}
}

// hintFull is the next step for a store that is full. To remove snapshots takes a
// little room, too.
const hintFull = "the store is full; make room there, or remove snapshots that are not needed while a little is left. What failed snapshots have left goes by itself after a day"

func (e *refusal) Error() string { return e.err.Error() }
func (e *refusal) Unwrap() error { return e.err }

// answers are errors by which a storage answers.
var answers = []error{
	blob.ErrBlobNotFound, blob.ErrInvalidRange, blob.ErrBlobAlreadyExists, blob.ErrUnsupportedPutBlobOption,
	blob.ErrSetTimeUnsupported, blob.ErrUnsupportedObjectLock, blob.ErrNotAVolume,
}

func isAnswer(err error) bool {
	for _, a := range answers {
		if errors.Is(err, a) {
			return true
		}
	}
	return false
}

// errGaveUp is the cause of a request's context that has taken all its time.
var errGaveUp = errors.New("it took too long")

// do makes one request, which carries size bytes.
func (g *guard) do(ctx context.Context, op string, id blob.ID, size int64, request func(context.Context) error) error {
	patience := g.patience + time.Duration(float64(size)/MinRate*float64(time.Second))
	bounded, cancel := context.WithTimeoutCause(ctx, patience, errGaveUp)
	defer cancel()
	wait := 100 * time.Millisecond
	var last error
	for {
		err := g.once(bounded, request, size)
		if err == nil || isAnswer(err) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if r, ok := refused(err); ok {
			return gaveUp(ctx, r.access(g.name))
		}
		if last == nil || bounded.Err() == nil {
			last = err // not the context's own, which says less
		}
		if !g.retry || bounded.Err() != nil {
			return gaveUp(ctx, &storageError{g.name, op, id, last})
		}
		// Full jitter, so that several creels do not come back together.
		pause := time.NewTimer(time.Duration(float64(wait) * (0.5 + rand.Float64()/2)))
		select {
		case <-pause.C:
		case <-bounded.Done():
			pause.Stop()
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return gaveUp(ctx, &storageError{g.name, op, id, last})
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// once is one try. It gets a quarter of the patience, so that a connection
// that has gone dead does not use up all of it.
func (g *guard) once(ctx context.Context, request func(context.Context) error, size int64) error {
	if !g.retry {
		return request(ctx)
	}
	one := g.patience/4 + time.Duration(float64(size)/MinRate*float64(time.Second))
	ctx, cancel := context.WithTimeoutCause(ctx, one, errGaveUp)
	defer cancel()
	err := request(ctx)
	if err != nil && ctx.Err() != nil && context.Cause(ctx) == errGaveUp && !isAnswer(err) {
		return fmt.Errorf("%w (no answer within %s)", err, one.Round(time.Millisecond))
	}
	return err
}

func (g *guard) GetBlob(ctx context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) error {
	at := slice{id, offset, length}
	if data := g.recent.get(ctx, at); data != nil {
		out.Reset()
		_, err := out.Write(data)
		return err
	}
	if g.recent.takes(at) {
		var b buffer
		if err := g.get(ctx, id, offset, length, &b); err != nil {
			return err
		}
		g.recent.put(at, b.Bytes())
		out.Reset()
		_, err := out.Write(b.Bytes())
		return err
	}
	return g.get(ctx, id, offset, length, out)
}

func (g *guard) get(ctx context.Context, id blob.ID, offset, length int64, out blob.OutputBuffer) error {
	err := g.do(ctx, "read", id, max(length, 0), func(ctx context.Context) error {
		return g.Storage.GetBlob(ctx, id, offset, length, out)
	})
	if err == nil {
		notePool(out)
	}
	return err
}

func (g *guard) GetMetadata(ctx context.Context, id blob.ID) (m blob.Metadata, err error) {
	err = g.do(ctx, "look up", id, 0, func(ctx context.Context) error {
		m, err = g.Storage.GetMetadata(ctx, id)
		return err
	})
	return m, err
}

func (g *guard) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	// Where asking for the time of what was written is a request of its own, it
	// must not be the reason to write it again.
	stamp := opts.GetModTime
	opts.GetModTime = nil
	err := g.do(ctx, "write", id, int64(data.Length()), func(ctx context.Context) error {
		return g.Storage.PutBlob(ctx, id, data, opts)
	})
	if err == nil && stamp != nil {
		var m blob.Metadata
		if m, err = g.GetMetadata(ctx, id); err == nil {
			*stamp = m.Timestamp
		}
	}
	if err == nil && !strings.HasPrefix(string(id), "s") { // session markers do not stay
		g.written.Add(int64(data.Length()))
	}
	return err
}

func (g *guard) DeleteBlob(ctx context.Context, id blob.ID) error {
	return g.do(ctx, "delete", id, 0, func(ctx context.Context) error {
		return g.Storage.DeleteBlob(ctx, id)
	})
}

// ListBlobs collects before it calls back: a list that is begun again must not
// be told twice.
func (g *guard) ListBlobs(ctx context.Context, prefix blob.ID, callback func(blob.Metadata) error) error {
	var all []blob.Metadata
	err := g.do(ctx, "list", prefix, 0, func(ctx context.Context) error {
		all = all[:0]
		return g.Storage.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			if !g.hidden.has(m.BlobID) {
				all = append(all, m)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := callback(m); err != nil {
			return err
		}
	}
	return nil
}

// refused tells whether a storage will say the same next time.
func refused(err error) (*refusal, bool) {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r, true
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return &refusal{err, hintFull, true}, true
	case errors.Is(err, unix.EROFS):
		return &refusal{err: err, hint: "the store's file system is mounted read-only"}, true
	case errors.Is(err, fs.ErrPermission):
		return &refusal{err: err, hint: "let the user that creel runs as read and write the folder"}, true
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, fs.ErrNotExist):
		return &refusal{err: err, hint: "the folder of the snapshots is gone; put it back or choose another"}, true
	case errors.Is(err, blob.ErrInvalidCredentials):
		return &refusal{err: err, hint: "the credentials have run out; give new ones"}, true
	}
	return nil, false
}
