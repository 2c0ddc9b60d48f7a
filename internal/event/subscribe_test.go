package event

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// collect subscribes and takes n events.
func collect(ctx context.Context, j *Journal, after uint64, n int) []Event {
	var got []Event
	for e := range j.Subscribe(ctx, after) {
		got = append(got, e)
		if len(got) == n {
			break
		}
	}
	return got
}

func TestSubscribersCatchUpAndThenFollow(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), MaxBytes: 3000, Keep: 100, Memory: 300})
	record(t, j, 50)
	got := make([][]Event, 6)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() { got[i] = collect(t.Context(), j, uint64(10*i), 250-10*i) })
	}
	for range 200 {
		j.Record(Event{Kind: Ready})
	}
	wg.Wait()
	for i := range got {
		wantSeqs(t, "subscriber", got[i], span(uint64(10*i)+1, 250))
	}
}

// A subscriber that waits is woken by each event.
func TestWaitingSubscriberIsWoken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var last atomic.Uint64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e := range j.Subscribe(t.Context(), 0) {
				last.Store(e.Seq)
			}
		}()
		for n := range uint64(3) {
			synctest.Wait() // it waits now
			if last.Load() != n {
				t.Errorf("it has %d, want %d", last.Load(), n)
			}
			j.Record(Event{Kind: Ready})
		}
		if err := j.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		<-done
		if last.Load() != 3 {
			t.Errorf("at the end it has %d", last.Load())
		}
	})
}

func TestSubscriptionEnds(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir()})
	record(t, j, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range j.Subscribe(ctx, 0) {
		if n++; n == 2 {
			cancel() // and the next wait must end
		}
	}
	if n != 2 {
		t.Errorf("%d events", n)
	}
	// The journal's end: all there is comes, and then the loop ends.
	done := make(chan []Event)
	go func() { done <- collect(t.Context(), j, 1, 1000) }()
	record(t, j, 2)
	closeNow(t, j)
	wantSeqs(t, "at the end", <-done, span(2, 4))
	wantSeqs(t, "after the end", collect(t.Context(), j, 0, 1000), span(1, 4))
}

// A subscriber that stands still delays neither the journal nor others, and
// misses nothing that the files still have.
func TestSlowSubscriberReadsFromFiles(t *testing.T) {
	j := open(t, Options{Dir: t.TempDir(), Memory: 10})
	record(t, j, 1)
	var got []Event
	for e := range j.Subscribe(t.Context(), 0) {
		if got = append(got, e); len(got) == 1 {
			for range 100 { // in steps that the writer can follow
				record(t, j, 5)
			}
			wantSeqs(t, "another subscriber", collect(t.Context(), j, 499, 2), span(500, 501))
		}
		if len(got) == 501 {
			break
		}
	}
	wantSeqs(t, "the slow subscriber", got, span(1, 501))
}

func TestWhatIsNowhereIsAGap(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxBytes: 1000, Keep: 1, Memory: 10})
	record(t, j, 1)
	var got []Event
	for e := range j.Subscribe(t.Context(), 0) {
		if got = append(got, e); len(got) == 1 {
			for range 100 {
				record(t, j, 1)
			}
		}
		if e.Seq == 101 {
			break
		}
	}
	if len(got) < 12 || got[1].Kind != Gap {
		t.Fatalf("got %v", got)
	}
	gap := got[1]
	if gap.Fields["first"] != uint64(2) || gap.Fields["last"] != gap.Seq || gap.Fields["missing"] != gap.Seq-1 {
		t.Errorf("the gap says %v", gap)
	}
	wantSeqs(t, "after the gap", got[2:], span(gap.Seq+1, 101))
	wantSeqs(t, "whoever goes on from the gap", collect(t.Context(), j, gap.Seq, 3), span(gap.Seq+1, gap.Seq+3))

	// After 0, what was rotated away long ago is no gap.
	if first := collect(t.Context(), j, 0, 1)[0]; first.Kind == Gap {
		t.Errorf("a new subscriber is given %v", first)
	}
	if e := collect(t.Context(), j, 5, 1)[0]; e.Kind != Gap {
		t.Errorf("a subscriber that knew 5 is given %v", e)
	}
}

func TestDamageToARotatedFileIsAGap(t *testing.T) {
	dir := t.TempDir()
	j := open(t, Options{Dir: dir, MaxBytes: 1000, Keep: 10, Memory: 5})
	for range 50 {
		record(t, j, 1)
	}
	names, err := rotatedFiles(dir)
	if err != nil || len(names) < 3 {
		t.Fatalf("%v, %v", names, err)
	}
	path := filepath.Join(dir, names[1].name)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	lines[2] = "garbage\n"
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	var gaps int
	last := uint64(0)
	for e := range j.Subscribe(t.Context(), 0) {
		if e.Kind == Gap {
			gaps++
			if last = e.Seq; last != names[2].first-1 {
				t.Errorf("the gap ends at %d, want %d", last, names[2].first-1)
			}
			continue
		}
		if e.Seq != last+1 {
			t.Errorf("%d after %d", e.Seq, last)
		}
		if last = e.Seq; last == 50 {
			break
		}
	}
	if gaps != 1 {
		t.Errorf("%d gaps", gaps)
	}
	damaged := 0
	for e, err := range j.Since(0, 0) {
		if err == nil {
			last = e.Seq
			continue
		}
		damaged++
		if d, ok := err.(*DamageError); !ok || d.Path != path || d.Line != 3 {
			t.Errorf("got %v", err)
		}
	}
	if damaged != 1 || last != 50 {
		t.Errorf("%d errors, last event %d", damaged, last)
	}
}
