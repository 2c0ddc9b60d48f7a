package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/kopia/kopia/repo/blob"
)

// A repository has its index in some blobs, and kopia opens it only if it can read all
// of them: one that is damaged hides everything. But each pack says itself what is in
// it, so that the index can be had again: the damaged blob is passed over, the packs
// are read (their ends alone), what they hold is put into a new index blob, and the
// damaged one is set aside under another name. kopia's own command for that, `kopia
// index recover`, is one that a person has to find out about, while nothing is saved.
//
// What is lost with the index is which contents were given up since: a snapshot that
// was removed may be listed again. None that was there is missing.
//
// An index blob that is gone, not damaged, is another matter: see lost.go. And where a
// pack cannot be read either, nothing is set aside: what is missing then cannot be told.

// indexPrefix begins the names of all index blobs.
const indexPrefix blob.ID = "x"

// asidePrefix begins the names of index blobs that were set aside. It is none of
// kopia's.
const asidePrefix blob.ID = "creel-damaged-"

// mostDamaged bounds how many index blobs are passed over: beyond that it is not the
// blobs that are wrong, but the way to them.
const mostDamaged = 32

// hidden are blobs that are not listed to kopia.
type hidden struct {
	mu  sync.Mutex
	ids map[blob.ID]bool
}

func (h *hidden) has(id blob.ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[id]
}

func (h *hidden) show(ids []blob.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range ids {
		delete(h.ids, id)
	}
}

func (h *hidden) hide(id blob.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = make(map[blob.ID]bool)
	}
	h.ids[id] = true
}

// readable calls load, which reads the index, until it finds no more blob of it that is
// damaged. Those that it had to pass over are hidden from then on, and returned.
func (g *guard) readable(ctx context.Context, load func(context.Context) error) ([]blob.ID, error) {
	var damaged []blob.ID
	last := blob.ID("")
	for {
		err := load(ctx)
		if err == nil || ctx.Err() != nil {
			return damaged, err
		}
		id, e := g.damagedIndex(ctx, err)
		switch {
		case e != nil:
			return damaged, errors.Join(err, e)
		case id == "" || len(damaged) == mostDamaged:
			return damaged, err
		case id != last: // once more: it may have been the way that has damaged it
			last = id
			continue
		}
		g.hidden.hide(id)
		damaged = append(damaged, id)
	}
}

// damagedIndex names the index blob that an error is about; "": it is about something
// else. kopia tells in words alone.
func (g *guard) damagedIndex(ctx context.Context, err error) (found blob.ID, _ error) {
	_, refused := errors.AsType[*AccessError](err)
	_, away := errors.AsType[*storageError](err)
	if refused || away {
		return "", nil
	}
	text := err.Error()
	listed := g.ListBlobs(ctx, indexPrefix, func(m blob.Metadata) error {
		if strings.Contains(text, string(m.BlobID)) {
			found = m.BlobID
		}
		return nil
	})
	return found, listed
}

// refresh brings the store's view of the repository up to date. It comes first in each
// call.
func (s *kopiaStore) refresh(ctx context.Context) error {
	if err := s.guard.checkHead(ctx); err != nil {
		return err
	}
	damaged, err := s.guard.readable(ctx, s.repo.Refresh)
	if err != nil || len(damaged) == 0 {
		return err
	}
	return s.salvage(ctx, damaged)
}

// salvage makes the index anew from the packs, and sets the damaged blobs aside.
func (s *kopiaStore) salvage(ctx context.Context, damaged []blob.ID) error {
	// Packs that cannot be read are an error, too: what was in them may be the newest
	// snapshot. A store that seems to have none is where a gateway begins anew.
	contents, err := s.recoverLost(ctx, damaged...)
	if err != nil {
		s.guard.hidden.show(damaged)
		return &DamagedError{Err: fmt.Errorf("%d blobs of its index cannot be read, and it could not be made anew from the packs: %w; nothing was removed: bring the files of the store back from a copy of it, or see what a stock kopia finds (`kopia index recover --ignore-errors`)", len(damaged), err)}
	}
	// Only now: what is in the store by now is all that was.
	for _, id := range damaged {
		if err := s.setAside(ctx, id); err != nil {
			return err
		}
	}
	if s.opts.Logger != nil {
		s.opts.Logger.Warn("the index of the snapshots was damaged, and was made anew from what is there; snapshots that were removed lately may be listed again",
			"store", s.opts.name(), "damaged", damaged, "contents", contents)
	}
	return nil
}

// setAside gives a damaged blob a name by which nobody looks for it.
func (s *kopiaStore) setAside(ctx context.Context, id blob.ID) error {
	var b buffer
	if err := s.guard.GetBlob(ctx, id, 0, -1, &b); err != nil {
		if errors.Is(err, blob.ErrBlobNotFound) {
			return nil // another creel was faster
		}
		return err
	}
	if err := s.guard.PutBlob(ctx, asidePrefix+id, plainBytes(b.Bytes()), blob.PutOptions{}); err != nil {
		return err
	}
	return s.guard.DeleteBlob(ctx, id)
}

// unreadable tells whether an error says that the index cannot be read.
func unreadable(err error) bool {
	return strings.Contains(err.Error(), "error loading index blob")
}
