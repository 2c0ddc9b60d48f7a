package probe

import (
	"context"
	"testing"
	"time"
)

// TestSleeper: a pause takes its time, at least once no more than that, and ends
// with its context.
func TestSleeper(t *testing.T) {
	s := newSleeper()
	defer s.close()
	const pause = 200 * time.Microsecond
	precise := false
	for range 2000 {
		began := time.Now()
		s.sleep(t.Context(), pause)
		took := time.Since(began)
		if took < pause {
			t.Fatalf("a pause of %v took %v", pause, took)
		}
		if precise = took < 2*pause; precise {
			break
		}
	}
	if !precise {
		t.Error("no pause was as short as it was to be")
	}
	for _, s := range []sleeper{s, timers{}} {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		s.sleep(ctx, time.Hour)
		if ctx.Err() == nil {
			t.Errorf("a pause of %T did not take its time", s)
		}
	}
}

// A sleeper that the kernel has taken away from sleeps all the same.
func TestSleeperWithoutAlarm(t *testing.T) {
	s := newSleeper()
	s.close()
	began := time.Now()
	s.sleep(t.Context(), time.Millisecond)
	if took := time.Since(began); took < time.Millisecond {
		t.Errorf("it took %v", took)
	}
}
