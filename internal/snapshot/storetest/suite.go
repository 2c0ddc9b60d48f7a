// Package storetest holds what every snapshot store must do, whatever it lies on.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// Place is somewhere for a store to be.
type Place struct {
	// Open opens a store on the place, as creel on another machine (index) does:
	// with its own cache and the same key.
	Open func(ctx context.Context, machine int) (store.Store, error)
	// Later lets time go by, for stores and their ages; nil: cannot be done.
	Later func(time.Duration)
	// Size is how much lies there, in bytes; nil: cannot be told.
	Size func() int64
}

// Run runs the suite. fresh gives a place with nothing in it.
func Run(t *testing.T, fresh func(t *testing.T) *Place) {
	for name, row := range map[string]func(*testing.T, *Place){
		"round trip":          roundTrip,
		"base":                baseReuse,
		"base in other root":  baseOtherRoot,
		"list":                list,
		"marks":               marks,
		"marks of two":        marksOfTwo,
		"smaller":             smaller,
		"remove":              remove,
		"not found":           notFound,
		"refused trees":       refusedTrees,
		"failing tree":        failingTree,
		"cancelled":           cancelled,
		"concurrent saves":    concurrentSaves,
		"two stores":          twoStores,
		"verify whole":        verifyWhole,
		"check":               check,
		"space is given back": spaceBack,
		"closed":              closed,
		"stored":              storedBytes,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row(t, fresh(t))
		})
	}
}

// Open opens the place for the length of a test.
func Open(t *testing.T, p *Place, machine int) store.Store {
	t.Helper()
	s, err := p.Open(t.Context(), machine)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

var saved atomic.Int64

// Meta makes the metadata of a snapshot of a gateway, each later than the one before.
func Meta(gateway string) store.Meta {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(saved.Add(1)) * time.Second)
	return store.Meta{
		ID: store.NewID(at), Gateway: gateway, Time: at, Reason: store.OnChange, Note: "a \"note\"", Lineage: "l1", Machine: "here",
		Generation: 7, AppVersion: "2026.9.6", Frozen: 12 * time.Millisecond,
		Roots:   []store.Root{{Name: "state", Path: "/data/state"}},
		Totals:  tree.Totals{Files: 1, Dirs: 2, Bytes: 3},
		Skipped: []tree.Skipped{{Path: "state/sock", Reason: "socket"}}, Omitted: 2,
	}
}

// Save saves and fails the test if that fails.
func Save(t testing.TB, s store.Store, from tree.Tree, m store.Meta, base store.ID) store.Snapshot {
	t.Helper()
	snap, err := s.Save(t.Context(), from, m, base, nil)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// Expect compares a saved snapshot with the tree it was made of.
func Expect(t testing.TB, s store.Store, id store.ID, want tree.Tree) {
	t.Helper()
	f, err := s.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	Compare(t, want, f)
}

func roundTrip(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	from, m := Everything(), Meta("g")
	progress := &counter{}
	snap, err := s.Save(t.Context(), from, m, "", progress)
	if err != nil {
		t.Fatal(err)
	}
	if progress.done != progress.total || progress.bytes != progress.totalBytes || progress.bytes == 0 {
		t.Errorf("progress says %d of %d files and %d of %d bytes", progress.done, progress.total, progress.bytes, progress.totalBytes)
	}
	Expect(t, s, m.ID, from)
	f, err := s.Open(t.Context(), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := fmt.Sprintf("%+v", f.Snapshot()); got != fmt.Sprintf("%+v", snap) || fmt.Sprintf("%+v", snap.Meta) != fmt.Sprintf("%+v", m) {
		t.Errorf("opened: %s\nsaved:  %+v\nmeta:   %+v", got, snap, m)
	}
	if _, err := f.Open(t.Context(), "state/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there gives %v", err)
	}
	Expect(t, Open(t, p, 1), m.ID, from)
}

// baseReuse saves a tree whose files, but for one, must not be read.
func baseReuse(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	from := NewTree("state")
	for i := range 20 {
		from.Entry(tree.Entry{Path: fmt.Sprintf("state/%d", i), Kind: tree.File, Key: fmt.Sprint("k", i)}, Noise(uint64(i), 200_000))
	}
	first := Save(t, s, from, Meta("g"), "")
	next := from.Clone()
	next.Entry(tree.Entry{Path: "state/3", Kind: tree.File, Key: "k3 again"}, []byte("new"))
	moved := next.entries["state/5"]
	moved.Path = "state/moved"
	next.Add(moved)
	next.content["state/moved"], next.content["state/5"] = next.content["state/5"], nil
	next.Remove("state/5")
	var read []string
	var mu sync.Mutex
	next.Opening = func(_ context.Context, path string) error {
		mu.Lock()
		defer mu.Unlock()
		read = append(read, path)
		return nil
	}
	second := Save(t, s, next, Meta("g"), first.ID)
	if fmt.Sprint(read) != "[state/3]" {
		t.Errorf("read %q", read)
	}
	next.Opening = nil
	Expect(t, s, second.ID, next)
	Expect(t, s, first.ID, from)
	if second.Stored > first.Stored/10 {
		t.Errorf("the first has stored %d bytes, the second %d", first.Stored, second.Stored)
	}
	// A base that is gone, and one of another gateway, do no harm.
	if err := s.Remove(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	third := Save(t, s, from, Meta("g"), first.ID)
	Expect(t, s, third.ID, from)
	Expect(t, s, Save(t, s, from, Meta("other"), third.ID).ID, from)
}

// baseOtherRoot saves equal keys in different roots, which promise nothing.
func baseOtherRoot(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	from := NewTree("a")
	from.Entry(tree.Entry{Path: "a/f", Kind: tree.File, Key: "k"}, []byte("one"))
	first := Save(t, s, from, Meta("g"), "")
	next := NewTree("b")
	next.Entry(tree.Entry{Path: "b/f", Kind: tree.File, Key: "k"}, []byte("two"))
	Expect(t, s, Save(t, s, next, Meta("g"), first.ID).ID, next)
}

func refusedTrees(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	for name, e := range map[string]tree.Entry{
		"up":           {Path: "state/../x", Kind: tree.Dir},
		"absolute":     {Path: "/x", Kind: tree.Dir},
		"kind":         {Path: "state/x", Kind: "socket"},
		"mode":         {Path: "state/x", Kind: tree.Dir, Mode: 1 << 31},
		"link":         {Path: "state/x", Kind: tree.File, LinkTo: "state/nothing"},
		"root is file": {Path: "x", Kind: tree.FIFO},
	} {
		from := NewTree("state")
		from.entries[e.Path] = e
		if _, err := s.Save(t.Context(), from, Meta("g"), "", nil); err == nil {
			t.Errorf("%s: saved", name)
		}
	}
	expectNothing(t, s)
}

// failingTree saves trees that do not give what they promise.
func failingTree(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	from := Everything()
	broken := errors.New("the disk is broken")
	from.Opening = func(_ context.Context, path string) error {
		if path == "state/text" {
			return broken
		}
		return nil
	}
	if _, err := s.Save(t.Context(), from, Meta("g"), "", nil); !errors.Is(err, broken) {
		t.Errorf("a file that cannot be read gives %v", err)
	}
	for _, size := range []int64{0, 5, 1 << 20} {
		from = NewTree("state")
		from.File("state/f", []byte("ten bytes."))
		e := from.entries["state/f"]
		e.Size = size
		from.Add(e)
		if _, err := s.Save(t.Context(), from, Meta("g"), "", nil); err == nil {
			t.Errorf("a file of ten bytes passes for one of %d", size)
		}
	}
	expectNothing(t, s)
}

// cancelled ends saves in the middle.
func cancelled(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	cause := errors.New("changed my mind")
	for after := range 4 {
		ctx, cancel := context.WithCancelCause(t.Context())
		from := Everything()
		var opened atomic.Int64
		from.Opening = func(context.Context, string) error {
			if opened.Add(1) > int64(after*after) {
				cancel(cause)
			}
			return nil
		}
		if _, err := s.Save(ctx, from, Meta("g"), "", nil); !errors.Is(err, cause) {
			t.Errorf("gives %v", err)
		}
		cancel(nil)
	}
	expectNothing(t, s)
	from := Everything()
	snap := Save(t, s, from, Meta("g"), "")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := s.Verify(ctx, snap.ID, 1, nil); !errors.Is(err, cause) {
		t.Errorf("verify gives %v", err)
	}
	if _, err := s.Open(ctx, snap.ID); !errors.Is(err, cause) {
		t.Errorf("open gives %v", err)
	}
	Expect(t, s, snap.ID, from)
}

func concurrentSaves(t *testing.T, p *Place) {
	stores := []store.Store{Open(t, p, 0), Open(t, p, 1)}
	trees := make([]*Tree, 8)
	snaps := make([]store.Snapshot, len(trees))
	var wait sync.WaitGroup
	for i := range trees {
		trees[i] = NewTree("state")
		trees[i].File("state/shared", Noise(99, 200_000))
		trees[i].File("state/own", Noise(uint64(i), 100_000))
		m := Meta("g")
		wait.Go(func() {
			var err error
			if snaps[i], err = stores[i%2].Save(t.Context(), trees[i], m, "", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i, snap := range snaps {
		for _, s := range stores {
			if t.Failed() {
				return
			}
			Expect(t, s, snap.ID, trees[i])
		}
	}
}

// twoStores works on one place from two machines in turn.
func twoStores(t *testing.T, p *Place) {
	a, b := Open(t, p, 0), Open(t, p, 1)
	from := Everything()
	first := Save(t, a, from, Meta("g"), "")
	Expect(t, b, first.ID, from)
	from.File("state/more", []byte("more"))
	second := Save(t, b, from, Meta("g"), first.ID)
	if err := b.Remove(t.Context(), first.ID); err != nil {
		t.Fatal(err)
	}
	if all, err := a.List(t.Context(), "g"); err != nil || len(all) != 1 || all[0].ID != second.ID {
		t.Errorf("listed: %v, %v", all, err)
	}
	Expect(t, a, second.ID, from)
	for _, s := range []store.Store{a, b} {
		if err := s.Maintain(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// check looks at a sound place again and again while another machine saves there: it
// never finds anything amiss, and nothing is listed that should not be.
func check(t *testing.T, p *Place) {
	a, b := Open(t, p, 0), Open(t, p, 1)
	from := Everything()
	gone := Save(t, a, from, Meta("g"), "")
	done := make(chan struct{})
	var last store.Snapshot
	go func() {
		defer close(done)
		for i := range 4 {
			from := from.Clone()
			from.File("state/more", Noise(uint64(i), 50_000))
			var err error
			if last, err = a.Save(t.Context(), from, Meta("g"), gone.ID, nil); err != nil {
				t.Error(err)
			}
			if err := a.Remove(t.Context(), gone.ID); err != nil {
				t.Error(err)
			}
			gone = last
		}
	}()
	for under := true; under; {
		select {
		case <-done:
			under = false
		default:
		}
		if err := b.Check(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []store.Store{a, b} {
		if all, err := s.List(t.Context(), ""); err != nil || len(all) != 1 || all[0].ID != last.ID {
			t.Errorf("listed: %v, %v", all, err)
		}
	}
}

func verifyWhole(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	snap := Save(t, s, Everything(), Meta("g"), "")
	for _, portion := range []float64{0, 0.01, 0.5, 1} {
		progress := &counter{}
		if err := s.Verify(t.Context(), snap.ID, portion, progress); err != nil {
			t.Errorf("portion %v: %v", portion, err)
		}
		if progress.done != progress.total || portion > 0 && progress.done == 0 {
			t.Errorf("portion %v: %d of %d", portion, progress.done, progress.total)
		}
	}
	if err := s.Verify(t.Context(), Save(t, s, NewTree("state"), Meta("g"), "").ID, 1, nil); err != nil {
		t.Error(err)
	}
}

// A store may keep one blob of what is not needed beside what is, but no more.
const (
	oneBlob   = 12 << 20
	largeSize = 4 * oneBlob
)

// spaceBack removes a large snapshot and lets days go by.
func spaceBack(t *testing.T, p *Place) {
	if p.Later == nil { // the suite of the folder has it
		return
	}
	if p.Size == nil {
		t.Fatal("the place cannot let time go by: say so where the suite is run")
	}
	s := Open(t, p, 0)
	small := Everything()
	kept := Save(t, s, small, Meta("g"), "")
	before := p.Size()
	large := small.Clone()
	large.File("state/large", Noise(7, largeSize))
	gone := Save(t, s, large, Meta("g"), kept.ID)
	if p.Size() < before+largeSize {
		t.Fatalf("%d bytes before, %d after", before, p.Size())
	}
	if err := s.Remove(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Size() < before+largeSize {
		t.Error("space is given back at once: what a Save elsewhere needs is not safe")
	}
	for range 8 {
		p.Later(25 * time.Hour)
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if p.Size() > before+oneBlob {
		t.Errorf("%d bytes before, %d after all has had its time", before, p.Size())
	}
	Expect(t, s, kept.ID, small)
	if err := s.Verify(t.Context(), kept.ID, 1, nil); err != nil {
		t.Error(err)
	}
}

func closed(t *testing.T, p *Place) {
	s, err := p.Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.List(t.Context(), ""); err == nil {
		t.Error("a closed store lists")
	}
}

// storedBytes holds Stored to what the place has grown by.
func storedBytes(t *testing.T, p *Place) {
	s := Open(t, p, 0)
	from := Everything()
	before := p.Size()
	snap := Save(t, s, from, Meta("g"), "")
	// The manifest itself is written when Stored is known already.
	if grown := p.Size() - before; snap.Stored > grown || snap.Stored < grown-8<<10 {
		t.Errorf("stored says %d, the place has grown by %d", snap.Stored, grown)
	}
}

// counter is a Progress.
type counter struct {
	mu                             sync.Mutex
	total, totalBytes, done, bytes int64
}

func (c *counter) Total(files, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total, c.totalBytes = files, bytes
}

func (c *counter) Done(files, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done += files
	c.bytes += bytes
}
