package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
)

// A blob of the index that is gone is missed by nobody: what it told of is as if it had
// never been, snapshots included, and kopia's maintenance removes the packs a day later.
// But the packs are still there, and each says itself what is in it. So whatever lies in
// the store and in no index is looked at. It is
//
//   - of a Save that is under way or was cut short: the marker of its session is there,
//     which goes only when the index has been written;
//   - left over: all that is in it is in the index, in another pack (kopia rewrites
//     packs that are mostly empty);
//   - given up: maintenance has taken what nobody needed out of the index, and the pack
//     goes a day later. That cannot be told from a loss afterwards, so each Maintain
//     writes down beforehand which packs it may give up (givenUpBlob);
//   - or lost, and then it is put into the index again.
//
// In a store that no creel has maintained that writes this down, a pack is taken for
// lost only if something in it is younger than all that was ever given up.
//
// Rejected: a list of the index blobs in the data folder, which another machine does not
// have, and in the store, which each Save would have to write.

// givenUpBlob holds the names of packs that maintenance has given up, or may. kopia
// knows no such name.
const givenUpBlob blob.ID = "creel-given-up"

// givenUp is its content.
type givenUp struct {
	Version int       `json:"version"`
	Packs   []blob.ID `json:"packs"`
}

const givenUpVersion = 1

// watermarkPrefix begins the names of blobs that say until when deleted contents were
// taken out of the index: seconds since 1970 follow.
const watermarkPrefix blob.ID = "xw"

// Check implements Store.
func (s *kopiaStore) Check(ctx context.Context) error {
	ctx, leave, err := s.enterWriting(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err = s.refresh(ctx); err == nil {
		err = s.check(ctx)
	}
	return fail(ctx, "check "+s.opts.name(), err)
}

// checkOpened is check for a store that is being opened. What is damaged beyond help does
// not keep it closed: Check says so again before anything is chosen or given up.
func (s *kopiaStore) checkOpened(ctx context.Context) error {
	_, err := s.recoverLost(ctx)
	if _, damaged := errors.AsType[*DamagedError](err); damaged {
		if s.opts.Logger != nil {
			s.opts.Logger.Error("a part of the index of the snapshots is missing; some may not be listed", "store", s.opts.name(), "error", err)
		}
		return nil
	}
	return err
}

func (s *kopiaStore) check(ctx context.Context) error {
	if _, err := s.recoverLost(ctx); err != nil {
		return err
	}
	return s.readManifests(ctx)
}

// inventory is what lies in a store, as far as it matters here.
type inventory struct {
	packs []blob.Metadata // of no session that is under way or was cut short
	// live names the packs in which something is that is not deleted, named those in
	// which something is at all.
	live, named map[blob.ID]bool
	contents    map[content.ID]bool
}

// take takes the inventory. Sessions in committed have written their index, whatever
// their markers say. The order matters: packs before markers before the index. A
// session that ends meanwhile has its packs there first and its marker last.
func (s *kopiaStore) take(ctx context.Context, committed map[content.SessionID]bool) (*inventory, error) {
	v := &inventory{live: map[blob.ID]bool{}, named: map[blob.ID]bool{}, contents: map[content.ID]bool{}}
	for _, prefix := range content.PackBlobIDPrefixes {
		err := s.guard.ListBlobs(ctx, prefix, func(m blob.Metadata) error {
			v.packs = append(v.packs, m)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	under := map[content.SessionID]bool{}
	err := s.guard.ListBlobs(ctx, content.BlobIDPrefixSession, func(m blob.Metadata) error {
		under[content.SessionIDFromBlobID(m.BlobID)] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	v.packs = slices.DeleteFunc(v.packs, func(m blob.Metadata) bool {
		session := content.SessionIDFromBlobID(m.BlobID)
		return under[session] && !committed[session]
	})
	if err := s.repo.Refresh(ctx); err != nil {
		return nil, err
	}
	return v, s.repo.ContentReader().IterateContents(ctx, content.IterateOptions{IncludeDeleted: true}, func(c content.Info) error {
		v.contents[c.ContentID], v.named[c.PackBlobID] = true, true
		if !c.Deleted {
			v.live[c.PackBlobID] = true
		}
		return nil
	})
}

// recoverLost looks for packs that were lost with their index, and puts what is in them
// into the index again. It returns how many contents that were. The error is a
// *DamagedError if some of these packs cannot be read: what is in them cannot be told.
func (s *kopiaStore) recoverLost(ctx context.Context, damaged ...blob.ID) (contents int, err error) {
	committed := map[content.SessionID]bool{}
	for _, id := range damaged {
		committed[content.SessionIDFromBlobID(id)] = true
	}
	v, err := s.take(ctx, committed)
	if err != nil {
		return 0, err
	}
	// One in which all is deleted may be named by the deletion alone.
	packs := slices.DeleteFunc(v.packs, func(m blob.Metadata) bool {
		_, judged := s.judged.Load(m.BlobID)
		return v.live[m.BlobID] || judged
	})
	if len(packs) == 0 {
		return 0, nil
	}
	given, known, err := s.readGivenUp(ctx)
	if err != nil {
		return 0, err
	}
	mark := time.Time{}
	if !known {
		if mark, err = s.watermark(ctx); err != nil {
			return 0, err
		}
	}
	var lost, unread []blob.ID
	err = s.write(ctx, "recover the index", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		for _, m := range packs {
			found, err := w.ContentManager().RecoverIndexFromPackBlob(ctx, m.BlobID, m.Length, false)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case errors.Is(err, blob.ErrBlobNotFound):
				continue // another creel has removed it since
			case err != nil:
				err = s.damage(ctx, "", "", err)
				if _, damaged := errors.AsType[*DamagedError](err); !damaged {
					return err
				}
				if !v.named[m.BlobID] && !slices.Contains(given, m.BlobID) { // else nobody needs it
					unread = append(unread, m.BlobID)
				}
				continue
			case !missed(v, m, found, given, known, mark):
				s.judged.Store(m.BlobID, true)
				continue
			}
			if _, err := w.ContentManager().RecoverIndexFromPackBlob(ctx, m.BlobID, m.Length, true); err != nil {
				return err
			}
			lost = append(lost, m.BlobID)
			contents += len(found)
		}
		return nil
	})
	if err == nil {
		unread, err = s.inNoIndex(ctx, unread)
	}
	if err != nil {
		return 0, err
	}
	if len(lost) > 0 {
		if err := s.repo.Refresh(ctx); err != nil {
			return 0, err
		}
		if len(damaged) == 0 && s.opts.Logger != nil {
			s.opts.Logger.Warn("a part of the index of the snapshots was missing, and was made anew from what is there; snapshots that were removed lately may be listed again. See whether somebody, or a rule of the bucket, removes files of the store",
				"store", s.opts.name(), "packs", len(lost), "contents", contents)
		}
	}
	if len(unread) > 0 {
		return contents, &DamagedError{Err: fmt.Errorf("%d packs are in no index and cannot be read (such as %s), so that it cannot be told whether snapshots are missing; nothing was removed: bring the files of the store back from a copy of it, or remove those packs from it to give up what is in them", len(unread), unread[0])}
	}
	return contents, nil
}

// missed tells whether something in a pack is missing from the index that should not be.
func missed(v *inventory, m blob.Metadata, found []content.Info, given []blob.ID, known bool, mark time.Time) bool {
	if slices.Contains(given, m.BlobID) {
		return false
	}
	return slices.ContainsFunc(found, func(c content.Info) bool {
		return c.PackBlobID == m.BlobID && !v.contents[c.ContentID] && (known || !c.Timestamp().Before(mark))
	})
}

// inNoIndex leaves, of packs, those that no blob of the index names. One that was damaged,
// and all that was in it saved anew, is still named where it was first, though that does
// not count any more: nothing of it is missing.
func (s *kopiaStore) inNoIndex(ctx context.Context, packs []blob.ID) ([]blob.ID, error) {
	if len(packs) == 0 {
		return nil, nil
	}
	m, ok := s.repo.ContentReader().(*content.WriteManager)
	if !ok {
		return packs, nil
	}
	blobs, err := s.repo.IndexBlobs(ctx, false)
	if err != nil {
		return nil, err
	}
	named := map[blob.ID]bool{}
	for _, b := range blobs {
		infos, err := loadIndex(ctx, b.BlobID, m.LoadIndexBlob)
		if err != nil {
			return nil, err
		}
		for _, c := range infos {
			named[c.PackBlobID] = true
		}
	}
	return slices.DeleteFunc(packs, func(id blob.ID) bool { return named[id] }), nil
}

// loadIndex calls load with a buffer of a type that only kopia can name.
func loadIndex[B any](ctx context.Context, id blob.ID, load func(context.Context, blob.ID, *B) ([]content.Info, error)) ([]content.Info, error) {
	var b B
	if c, ok := any(&b).(interface{ Close() }); ok {
		defer c.Close()
	}
	return load(ctx, id, &b)
}

// readGivenUp reads the list of what was given up. known: there is one.
func (s *kopiaStore) readGivenUp(ctx context.Context) (packs []blob.ID, known bool, err error) {
	var b buffer
	err = s.guard.GetBlob(ctx, givenUpBlob, 0, -1, &b)
	if errors.Is(err, blob.ErrBlobNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	var g givenUp
	if err := json.Unmarshal(b.Bytes(), &g); err != nil || g.Version != givenUpVersion {
		return nil, false, nil // as if there were none: a little less is found then
	}
	return g.Packs, true, nil
}

// giveUp writes down which packs maintenance may give up, or has: those in which nothing
// is that is not deleted. check has found nothing amiss with them.
func (s *kopiaStore) giveUp(ctx context.Context) error {
	v, err := s.take(ctx, nil)
	if err != nil {
		return err
	}
	var packs []blob.ID
	for _, m := range v.packs {
		if !v.live[m.BlobID] {
			packs = append(packs, m.BlobID)
		}
	}
	slices.Sort(packs)
	before, known, err := s.readGivenUp(ctx)
	if err != nil || known && slices.Equal(before, packs) {
		return err
	}
	text, err := json.Marshal(givenUp{Version: givenUpVersion, Packs: packs})
	if err != nil {
		return err
	}
	return s.guard.PutBlob(ctx, givenUpBlob, plainBytes(text), blob.PutOptions{})
}

// watermark is the time before which deleted contents were taken out of the index; zero:
// none were.
func (s *kopiaStore) watermark(ctx context.Context) (mark time.Time, err error) {
	err = s.guard.ListBlobs(ctx, watermarkPrefix, func(m blob.Metadata) error {
		seconds, err := strconv.ParseInt(strings.TrimPrefix(string(m.BlobID), string(watermarkPrefix)), 10, 64)
		if at := time.Unix(seconds, 0); err == nil && at.After(mark) {
			mark = at
		}
		return nil
	})
	return mark, err
}
