package history

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRates: counters become rates, whatever begins anew in between.
func TestRates(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	s := New(nil)
	for _, r := range []Reading{
		{Generation: 1, Used: true, Memory: 100, CPU: 5 * time.Second, Requests: 1000},
		{Generation: 1, Used: true, Memory: 120, CPU: 10 * time.Second, Requests: 1100, Failed: 10}, // half a processor, 10/s
		{Requests: 1100, Failed: 10}, // none runs
		{Generation: 2, Used: true, Memory: 50, CPU: time.Second, Requests: 1100},  // another instance
		{Generation: 2, Used: true, Memory: 50, CPU: time.Second / 2, Requests: 5}, // a process of it has ended; creel was replaced
	} {
		at = at.Add(Every)
		r.At = at
		s.add(r)
	}
	got := s.Since(at, time.Hour)
	want := []Sample{
		{Generation: 1, Used: true, Memory: 120, CPU: .5, Requests: 10, Failed: 1},
		{},
		{Generation: 2, Used: true, Memory: 50, CPU: .1},
		{Generation: 2, Used: true, Memory: 50, Requests: .5},
	}
	if len(got) != len(want) {
		t.Fatalf("%d samples: %+v", len(got), got)
	}
	for i := range want {
		want[i].At = got[i].At
		if got[i].Failed < 0 || got[i].CPU < 0 || got[i].Requests < 0 {
			t.Errorf("a negative rate: %+v", got[i])
		}
		if want[i].Failed == 0 {
			got[i].Failed = 0
		}
		if got[i] != want[i] {
			t.Errorf("sample %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}

// TestBounded: however long it runs, it keeps an hour and a day, and no more.
func TestBounded(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	s := New(nil)
	var total uint64
	for range 3 * int(Coarse/Every) {
		at, total = at.Add(Every), total+20
		s.add(Reading{At: at, Requests: total, Generation: 1, Used: true, Memory: 7})
	}
	if n := len(s.Since(at, Fine)); n != fineSize {
		t.Errorf("%d samples of the last hour, want %d", n, fineSize)
	}
	day := s.Since(at, Coarse)
	if len(day) < coarseSize-1 || len(day) > coarseSize+1 {
		t.Errorf("%d samples of the last day, want %d", len(day), coarseSize)
	}
	for i, x := range day {
		if x.Memory != 7 || x.Requests < 1.99 || x.Requests > 2.01 {
			t.Fatalf("a sample of the day: %+v", x)
		}
		if i > 0 && !x.At.After(day[i-1].At) {
			t.Fatal("they are out of order")
		}
	}
	if cap(s.fine.kept) > 2*fineSize || cap(s.coarse.kept) > 2*coarseSize || len(s.pending) > perCoarse {
		t.Error("it has grown beyond its size")
	}
}

// TestRun ends with its context and samples on time.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		s := New(func(context.Context) Reading { n++; return Reading{At: time.Now(), Requests: uint64(10 * n)} })
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		time.Sleep(3*Every + time.Second) // of the bubble's clock
		cancel()
		<-done
		if n != 4 || len(s.Since(time.Now(), Fine)) != 3 {
			t.Errorf("%d readings, %d samples", n, len(s.Since(time.Now(), Fine)))
		}
	})
}
