package restore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
	"creel/internal/gateway"
	"creel/internal/snapshot/tree"
)

// TestWritingFails: a disk that fails, or is full, while the new state is written,
// anywhere in it, leaves the old one as it was and nothing beside it; the error says
// so, and another try, when the disk is well again, needs nothing else.
func TestWritingFails(t *testing.T) {
	for _, fault := range []error{unix.EIO, unix.ENOSPC, unix.EROFS} {
		for after := range 4 { // files
			t.Run(fmt.Sprintf("%v after %d", fault, after), func(t *testing.T) {
				w := build(t, t.TempDir(), "exchange")
				r := w.restorer(func(crashpoint.Point) {})
				r.disk.write = func(ctx context.Context, from tree.Tree, dirs map[string]string, o tree.WriteOptions) (tree.Written, error) {
					return writeSome(ctx, from, dirs, o, after, fault)
				}
				_, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
				if !errors.Is(err, fault) || !strings.Contains(err.Error(), "the state was not touched") {
					t.Errorf("got %v", err)
				}
				if got := w.state(t); got != "old" {
					t.Errorf("the state is the %s one", got)
				}
				w.clean(t)
				r.disk.write = realDisk.write
				w.perform(t, r, w.snapshot().(*files), "confirm")
				if got := w.state(t); got != "new" {
					t.Errorf("tried again, the state is the %s one", got)
				}
			})
		}
	}
}

// writeSome writes a tree as far as some files, and fails.
func writeSome(ctx context.Context, from tree.Tree, dirs map[string]string, o tree.WriteOptions, most int, fault error) (tree.Written, error) {
	left := most
	for e, err := range from.Walk(ctx) {
		if err != nil {
			return tree.Written{}, err
		}
		name, rest := tree.SplitRoot(e.Path)
		at := filepath.Join(dirs[name], rest)
		switch {
		case e.Kind == tree.Dir:
			err = os.Mkdir(at, 0o700)
		case e.Kind == tree.File && left == 0:
			err = errors.Join(os.WriteFile(at, []byte("cut sh"), 0o600), &os.PathError{Op: "write", Path: at, Err: fault})
		case e.Kind == tree.File:
			left--
			err = os.WriteFile(at, make([]byte, e.Size), 0o600)
		}
		if err != nil {
			return tree.Written{}, err
		}
	}
	return tree.Written{}, fault
}

// TestDiscardFails: what could not be removed, or noted as removed, in the same trouble
// does not stand in the way of the next try; nobody has to start creel again.
func TestDiscardFails(t *testing.T) {
	for _, way := range []string{"writing fails", "swapping is called off", "discarded"} {
		t.Run(way, func(t *testing.T) {
			w := build(t, t.TempDir(), "exchange")
			r := w.restorer(func(crashpoint.Point) {})
			full := false
			r.disk.journal = func(path string, j journal) error {
				if full {
					return &os.PathError{Op: "write", Path: path, Err: unix.ENOSPC}
				}
				return writeJournal(path, j)
			}
			r.disk.write = func(ctx context.Context, from tree.Tree, dirs map[string]string, o tree.WriteOptions) (tree.Written, error) {
				if way == "writing fails" {
					full = true
					return writeSome(ctx, from, dirs, o, 2, unix.ENOSPC)
				}
				return tree.Write(ctx, from, dirs, o)
			}
			s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
			switch full = true; way {
			case "swapping is called off":
				must(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				err = s.Swap(ctx, gateway.StillnessForTest(t))
			case "discarded":
				must(t, err)
				err = s.Discard()
			}
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("got %v", err)
			}
			if _, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{}); !errors.Is(err, unix.ENOSPC) {
				t.Errorf("tried again while it is full: %v", err)
			}
			if got := w.state(t); got != "old" {
				t.Errorf("the state is the %s one", got)
			}
			full, r.disk.write = false, realDisk.write
			w.perform(t, r, w.snapshot().(*files), "confirm")
			if got := w.state(t); got != "new" {
				t.Errorf("tried again, the state is the %s one", got)
			}
		})
	}
}

// TestStagingIsNotTaken: what somebody is staging is not taken for what was left.
func TestStagingIsNotTaken(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	r := w.restorer(func(crashpoint.Point) {})
	s, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{})
	must(t, err)
	if _, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{}); !is[*UnderWayError](err) {
		t.Errorf("got %v", err)
	}
	must(t, s.Discard())
	w.clean(t)
}
