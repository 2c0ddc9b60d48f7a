//go:build e2e

package e2e

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// How many snapshots are taken of a gateway that has turns to do. Some show that
// both get on with each other; what they cost each other takes more:
//
//	go test -tags e2e ./test/e2e -run TestSnapshotsUnderWay -v -snapshots=200
var snapshotCount = flag.Int("snapshots", 5, "how many snapshots are taken of a gateway at work")

// TestSnapshotsUnderWay takes snapshots while the agent has one turn after the
// other. Each turn comes to its end, each snapshot is taken, and the log says for
// how long the gateway was held still, and what a snapshot after one small change
// costs.
func TestSnapshotsUnderWay(t *testing.T) {
	f, c, _, _ := upInWorld(t)
	token := tokenOf(t, f, c.link(t))
	first := f.snapshot(t)
	files, bytes := sizeOf(t, f.home())
	t.Logf("the state has %d files with %d bytes, of which %d with %d are saved", files, bytes, first.Totals.Files, first.Totals.Bytes)

	turns := f.keepTalking(t, token)
	var frozen, took []time.Duration
	for range *snapshotCount {
		began := time.Now()
		s := f.snapshot(t)
		took, frozen = append(took, time.Since(began)), append(frozen, s.Frozen)
		if s.Frozen <= 0 {
			t.Error("the gateway was not held still")
		}
	}
	if n := turns(); n == 0 {
		t.Error("there was no turn meanwhile: that shows nothing")
	} else {
		t.Logf("%d turns meanwhile", n)
	}
	t.Logf("held still: %s", spread(frozen))
	t.Logf("creel snapshot create: %s", spread(took))

	// The gateway is at rest now, but for what it writes by itself.
	var stored []int64
	took = nil
	const small = 16 << 10
	for n := range max(1, *snapshotCount/10) {
		if err := os.WriteFile(filepath.Join(f.workspace(), fmt.Sprintf("note-%d.bin", n)), noise(small), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		s := f.snapshot(t)
		took, stored = append(took, time.Since(began)), append(stored, s.Stored)
	}
	slices.Sort(stored)
	t.Logf("after a new file of %d bytes: %s; stored %d bytes in the median", small, spread(took), stored[len(stored)/2])
	f.wantReady(t)
	f.end(t, c)
}

// keepTalking has the agent do one turn after the other until the function that it
// returns is called, which says how many there were.
func (f *folder) keepTalking(t *testing.T, token string) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootLimit+time.Duration(*snapshotCount)*momentLimit)
	o, err := f.dial(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	over, turns := make(chan struct{}), 0
	var talking sync.WaitGroup
	begun := make(chan struct{})
	talking.Go(func() { // ends with over
		defer o.close()
		for {
			select {
			case <-over:
				return
			default:
			}
			if err := o.turn(ctx, fmt.Sprintf("Turn %d", turns)); err != nil {
				t.Errorf("turn %d: %v", turns, err)
				return
			}
			if turns++; turns == 1 {
				close(begun)
			}
		}
	})
	select {
	case <-begun:
	case <-time.After(bootLimit):
		t.Error("there is no first turn")
	}
	return func() int {
		close(over)
		talking.Wait()
		cancel()
		return turns
	}
}

// spread is the median, the 99th percentile (by nearest rank: a value that
// occurred) and the largest of some durations.
func spread(all []time.Duration) string {
	s := slices.Sorted(slices.Values(all))
	rank := func(p float64) time.Duration {
		return s[int(math.Ceil(p*float64(len(s))))-1].Round(10 * time.Microsecond)
	}
	return fmt.Sprintf("p50 %v, p99 %v, max %v of %d", rank(0.5), rank(0.99), rank(1), len(s))
}

// sizeOf counts the files of a folder and their bytes.
func sizeOf(t *testing.T, dir string) (files, bytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // it is in use
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if info, err := d.Info(); err == nil {
			files, bytes = files+1, bytes+info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, bytes
}

// noise is what cannot be compressed.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it does not fail
	return b
}
