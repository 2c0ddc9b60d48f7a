package snapshot

import (
	"testing"
	"time"
)

func TestDue(t *testing.T) {
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	usual := Schedule{Settle: 2 * time.Minute, Every: 15 * time.Minute, Apart: 5 * time.Minute}
	for _, c := range []struct {
		name  string
		s     Schedule
		c     changes
		now   int
		is    bool
		again int // minutes; -1: never
	}{
		{"no change", usual, changes{saved: at(0)}, 60, false, -1},
		{"changed, still restless", usual, changes{first: at(0), last: at(10)}, 11, false, 12},
		{"changed, and quiet since", usual, changes{first: at(0), last: at(10)}, 12, true, -1},
		{"restless for too long", usual, changes{first: at(0), last: at(15)}, 15, true, -1},
		{"too soon after the last", usual, changes{first: at(1), last: at(1), saved: at(0)}, 4, false, 5},
		{"not too soon any more", usual, changes{first: at(1), last: at(1), saved: at(0)}, 5, true, -1},
		{"only by interval", Schedule{Every: 15 * time.Minute}, changes{first: at(0), last: at(1)}, 10, false, 15},
		{"only when quiet", Schedule{Settle: time.Minute}, changes{first: at(0), last: at(100)}, 100, false, 101},
		{"switched off", Schedule{}, changes{first: at(0), last: at(1)}, 1000, false, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			is, again := c.s.due(c.c, at(c.now))
			want := time.Time{}
			if c.again >= 0 {
				want = at(c.again)
			}
			if is != c.is || !again.Equal(want) {
				t.Errorf("got %v, again %v; want %v, %v", is, again, c.is, want)
			}
		})
	}
}
