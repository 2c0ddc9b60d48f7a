package store

import (
	"context"
	"strings"
	"sync"

	"github.com/kopia/kopia/repo/blob"
)

// recent keeps what was read of kopia's metadata (lists of snapshots and of
// files) from a store that is far away: each Save reads the lists of the one
// before. It is ours and not kopia's, so that Verify can look past it.
type recent struct {
	mu    sync.Mutex
	limit int // bytes; 0: nothing is kept
	size  int
	kept  map[slice][]byte
}

// slice is a piece of a blob.
type slice struct {
	blob           blob.ID
	offset, length int64
}

// recentLimit is enough for the lists of some ten thousand files.
const recentLimit = 4 << 20

// takes tells whether a piece is kept: metadata packs do not change under their
// names.
func (r *recent) takes(at slice) bool {
	return r.limit > 0 && strings.HasPrefix(string(at.blob), "q") && at.length > 0 && at.length <= int64(r.limit/8)
}

type lookPast struct{}

// past makes reads under the context go to the store itself.
func past(ctx context.Context) context.Context { return context.WithValue(ctx, lookPast{}, true) }

func (r *recent) get(ctx context.Context, at slice) []byte {
	if ctx.Value(lookPast{}) != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept[at]
}

func (r *recent) put(at slice, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, there := r.kept[at]; there {
		return
	}
	if r.kept == nil || r.size+len(data) > r.limit {
		r.kept, r.size = make(map[slice][]byte), 0 // begin anew; what is needed comes back
	}
	r.kept[at] = data
	r.size += len(data)
}
