package restore

import (
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/crashpoint"
	"creel/internal/gateway"
)

// TestStagingIsNotRecovered: what somebody is staging, or has, is not what a creel that
// died has left, whenever Recover comes.
func TestStagingIsNotRecovered(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	times := 0
	r := w.restorer(nil)
	r.passed = func(p crashpoint.Point) {
		switch p {
		case crashpoint.RestoreStaging, crashpoint.RestoreWritten, crashpoint.RestoreStaged:
			times++
			if got, err := r.Recover(gateway.StillnessForTest(t)); err != nil || got.Outcome != Nothing || got.Trouble != nil {
				t.Errorf("at %s: %+v, %v", p, got, err)
			}
		}
	}
	w.perform(t, r, w.snapshot().(*files), "confirm")
	if got := w.state(t); got != "new" || times != 3 {
		t.Errorf("recovered %d times, and the state is the %s one", times, got)
	}
	sweepAll(t, r)
	w.clean(t)
}

// TestBeginFails: a restore that was noted, though the disk has said that it was not, and
// cannot be taken back, does not stand in the way of the next one.
func TestBeginFails(t *testing.T) {
	w := build(t, t.TempDir(), "exchange")
	r := w.restorer(func(crashpoint.Point) {})
	writes := 0
	r.disk.journal = func(path string, j journal) error {
		fault := &os.PathError{Op: "sync", Path: path, Err: unix.EIO}
		if writes++; writes == 1 {
			must(t, writeJournal(path, j))
			return fault
		} else if writes == 2 {
			return fault
		}
		return writeJournal(path, j)
	}
	if _, err := r.Stage(t.Context(), w.snapshot(), w.roots(), StageOptions{}); err == nil || writes != 2 {
		t.Fatalf("after %d writes: %v", writes, err)
	}
	w.perform(t, r, w.snapshot().(*files), "confirm")
	if got := w.state(t); got != "new" {
		t.Errorf("the state is the %s one", got)
	}
}

// TestKilledBackThroughJournal: of two folders the first, which was not there before, is
// taken back by a rename, and the second in steps that are written down. A death between
// the two leaves nothing that the next creel cannot make out.
func TestKilledBackThroughJournal(t *testing.T) {
	for _, ending := range endings[1:] {
		for n := 1; ; n++ {
			w := build(t, memoryDir(t), "absent")
			w.Case = "inside"
			f := w.snapshot().(*files)
			slices.Reverse(f.roots)
			var points []crashpoint.Point
			died := w.dies(t, n, &points, func(r *Restorer) { w.perform(t, r, f, ending) })
			if !died {
				break
			}
			w.check(t, expected(points))
			if t.Failed() {
				t.Fatalf("%s, killed after %v", ending, points)
			}
		}
	}
}
