package restore

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"creel/internal/crashpoint"
	"creel/internal/gateway"
)

// TestOrderOnDisk: a power cut loses what was not synced. So a rename comes after
// a journal that says so, and before the journal says that renames were made,
// each folder in which one was made is synced.
func TestOrderOnDisk(t *testing.T) {
	for _, kind := range cases {
		for _, ending := range endings[:2] {
			t.Run(kind+" "+ending, func(t *testing.T) {
				w := build(t, t.TempDir(), kind)
				r := w.restorer(func(crashpoint.Point) {})
				real := r.disk
				dirty := map[string]bool{} // folders with renames that a power cut would lose
				phase, log := Phase(""), []string{}
				renamed := func(what, a, b string) {
					log = append(log, what)
					if phase != Swapping && phase != Undoing {
						t.Errorf("%s while the journal says %q", what, phase)
					}
					dirty[filepath.Dir(a)], dirty[filepath.Dir(b)] = true, true
				}
				r.disk.rename = func(a, b string) error { renamed("rename", a, b); return real.rename(a, b) }
				r.disk.exchange = func(a, b string) error {
					err := real.exchange(a, b)
					if w.Case == "renames" {
						err = errInvalid
					} else {
						renamed("exchange", a, b)
					}
					return err
				}
				r.disk.syncDir = func(path string) error { delete(dirty, path); return real.syncDir(path) }
				r.disk.journal = func(path string, j journal) error {
					next := Phase("")
					if j.Now != nil {
						next = j.Now.Phase
					}
					log = append(log, fmt.Sprintf("journal %q", next))
					if next != phase && len(dirty) > 0 {
						t.Errorf("the journal goes from %q to %q, and not on disk are renames in %v", phase, next, dirty)
					}
					phase = next
					return real.journal(path, j)
				}
				w.perform(t, r, w.snapshot().(*files), ending)
				if !slices.ContainsFunc(log, func(s string) bool { return !strings.HasPrefix(s, "journal") }) {
					t.Errorf("nothing was renamed: %q", log)
				}
			})
		}
	}
}

// TestEveryFailure has each call that changes folders or the journal fail, once
// and from then on for ever. Either all is as before, or it is said that it is
// not, and a creel without that trouble brings it in order.
func TestEveryFailure(t *testing.T) {
	for _, kind := range cases {
		for _, forever := range []bool{false, true} {
			for n := 1; ; n++ {
				w := build(t, memoryDir(t), kind)
				r := w.restorer(func(crashpoint.Point) {})
				calls := 0
				real := r.disk
				fails := func() error {
					if calls++; calls == n || forever && calls > n {
						return fmt.Errorf("call %d fails: %w", n, errBusy)
					}
					return nil
				}
				r.disk.rename = func(a, b string) error { return first(fails, func() error { return real.rename(a, b) }) }
				r.disk.exchange = func(a, b string) error { return first(fails, func() error { return real.exchange(a, b) }) }
				r.disk.syncDir = func(p string) error { return first(fails, func() error { return real.syncDir(p) }) }
				r.disk.journal = func(p string, j journal) error { return first(fails, func() error { return real.journal(p, j) }) }
				err := w.attempt(t, r)
				if calls < n {
					must(t, err)
					break // there is no such call
				}
				if err == nil {
					t.Errorf("%s, call %d: no error", kind, n)
				}
				w.settled(t, err)
				if t.Failed() {
					t.Fatalf("%s, call %d fails (for ever: %v): %v", kind, n, forever, err)
				}
			}
		}
	}
}

func first(fails, does func() error) error {
	if err := fails(); err != nil {
		return err
	}
	return does()
}

// attempt is a restore that may fail.
func (w world) attempt(t *testing.T, r *Restorer) error {
	s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
	if err != nil {
		return err
	}
	if err := s.Swap(t.Context(), gateway.StillnessForTest(t)); err != nil {
		return err
	}
	return r.Confirm()
}
