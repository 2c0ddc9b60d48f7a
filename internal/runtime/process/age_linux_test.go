package process

import (
	"os"
	"testing"
	"time"

	"creel/internal/runtime"
)

// TestTrueStart: an instance is as old as the kernel says, wherever the wall
// clock stood when its record was written.
func TestTrueStart(t *testing.T) {
	stat, err := readStat(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	rec := runtime.Record{StartTime: stat.startTime}
	rec.StartedAt = time.Now().Add(-time.Hour * 24 * 365)
	start := trueStart(rec) // this process began not long ago
	if age := time.Since(start); age < 0 || age > time.Hour {
		t.Errorf("this process seems %v old", age)
	}
	for _, off := range []time.Duration{5 * time.Hour, -5 * time.Hour} {
		rec.StartedAt = start.Add(off)
		if got := trueStart(rec).Sub(start).Abs(); got > ageSlack {
			t.Errorf("with a clock that was set by %v: off by %v", -off, got)
		}
	}
	rec.StartedAt = start.Add(100 * time.Millisecond)
	if got := trueStart(rec); !got.Equal(rec.StartedAt) {
		t.Errorf("a record that is right was changed from %v to %v", rec.StartedAt, got)
	}
}
