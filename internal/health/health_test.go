package health

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told collects what a registry tells.
type told struct {
	mu      sync.Mutex
	changes []Change
	gauge   map[Condition]bool
}

func newRegistry(t *testing.T) (*Registry, *told) {
	t.Helper()
	seen := &told{gauge: map[Condition]bool{}}
	r := New(Options{
		Changed: func(c Change) {
			seen.mu.Lock()
			defer seen.mu.Unlock()
			seen.changes = append(seen.changes, c)
		},
		Gauge: func(c Condition, holds bool) { seen.gauge[c] = holds },
	})
	t.Cleanup(r.Close)
	return r, seen
}

// TestShows: a condition shows while it holds, with its newest words and the time
// from which on it has held.
func TestShows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, seen := newRegistry(t)
		begun := time.Now()
		r.Set(Bodies, Trouble, "one", "do this")
		r.Set(Journal, Trouble, "j", "")
		time.Sleep(time.Hour)
		r.Set(Bodies, Warning, "two", "do that")
		got := r.Current()
		want := []Report{{Journal, Trouble, begun, "j", ""}, {Bodies, Warning, begun, "two", "do that"}}
		if !slices.Equal(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		if len(seen.changes) != 2 || !seen.gauge[Bodies] || !r.Holds(Journal) {
			t.Errorf("told %+v, gauge %v", seen.changes, seen.gauge)
		}
		r.Clear(Bodies)
		r.Clear(Bodies)
		if got := r.Current(); len(got) != 1 || seen.gauge[Bodies] {
			t.Errorf("got %+v, gauge %v", got, seen.gauge)
		}
		if n := len(seen.changes); n != 3 || seen.changes[2].Holds || seen.changes[2].Message != "two" {
			t.Errorf("told %+v", seen.changes)
		}
	})
}

// TestFlapping: what changes without end is told once in the quiet time, with how
// often; the last word is told in any case, and is true.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, seen := newRegistry(t)
		for range 3600 {
			r.Set(DataFolder, Trouble, "full", "")
			time.Sleep(500 * time.Millisecond)
			r.Clear(DataFolder)
			time.Sleep(500 * time.Millisecond)
		}
		synctest.Wait()
		if n := len(seen.changes); n < 50 || n > 70 {
			t.Errorf("an hour of flapping was told %d times", n)
		}
		r.Set(DataFolder, Trouble, "full at last", "")
		time.Sleep(2 * DefaultQuiet)
		synctest.Wait()
		last := seen.changes[len(seen.changes)-1]
		if !last.Holds || last.Message != "full at last" {
			t.Errorf("the last word is %+v", last)
		}
		var all uint64
		for _, c := range seen.changes {
			all += c.Changes
		}
		if all != 7201 {
			t.Errorf("%d changes were counted", all)
		}
	})
}

// TestInfo: a hint shows, and is no trouble for those who watch metrics.
func TestInfo(t *testing.T) {
	r, seen := newRegistry(t)
	r.Set(Provider, Info, "none", "")
	if !r.Holds(Provider) || seen.gauge[Provider] {
		t.Errorf("holds %v, gauge %v", r.Holds(Provider), seen.gauge)
	}
}

// TestClose: what waits to be told is dropped, and nothing is told any more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, seen := newRegistry(t)
		r.Set(Journal, Trouble, "j", "")
		r.Clear(Journal) // waits
		r.Close()
		r.Set(Bodies, Trouble, "b", "")
		time.Sleep(2 * DefaultQuiet)
		synctest.Wait()
		if len(seen.changes) != 1 {
			t.Errorf("told %+v", seen.changes)
		}
	})
}

// TestNil: who has no registry has no conditions.
func TestNil(t *testing.T) {
	var r *Registry
	r.Set(Journal, Trouble, "", "")
	r.Clear(Journal)
	if r.Holds(Journal) || r.Current() != nil {
		t.Error("something holds")
	}
}

// TestClock: a jump of the wall clock is seen once, with its length; time that
// passes is none, and neither are corrections.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off time.Duration
		c := NewClockOf(func() time.Time { return time.Now().Add(off).Round(0) })
		for _, step := range []struct{ set, want time.Duration }{
			{0, 0}, {3 * time.Hour, 3 * time.Hour}, {0, 0}, {-5 * time.Hour, -5 * time.Hour}, {time.Second, 0}, {0, 0},
		} {
			time.Sleep(10 * time.Second)
			off += step.set
			if got := c.Look(); got != step.want {
				t.Errorf("set by %v, seen as %v", step.set, got)
			}
		}
	})
}
