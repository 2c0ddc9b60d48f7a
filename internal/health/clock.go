package health

import "time"

// jumpFrom is the least that counts as a jump: what is less is a correction.
const jumpFrom = 2 * time.Second

// Clock finds out that the wall clock was set, by looking at it beside the
// monotonic one, which never is. creel's own waits all go by the latter, so a
// jump changes nothing but the times in the journal; it is told so that a person
// who reads it is not led astray.
type Clock struct {
	wall func() time.Time // without a monotonic reading
	last time.Time        // with both readings
	seen time.Time        // of wall
}

// NewClock begins to look.
func NewClock() *Clock { return NewClockOf(func() time.Time { return time.Now().Round(0) }) }

// NewClockOf begins to look at a wall clock of one's own, which gives times without a
// monotonic reading.
func NewClockOf(wall func() time.Time) *Clock {
	return &Clock{wall: wall, last: time.Now(), seen: wall()}
}

// Look gives how far the wall clock has jumped since the last look, forward if
// positive; 0: it has not. While a machine sleeps the monotonic clock stands, so
// waking up shows as a jump forward.
func (c *Clock) Look() time.Duration {
	now, wall := time.Now(), c.wall()
	jump := wall.Sub(c.seen) - now.Sub(c.last)
	c.last, c.seen = now, wall
	if jump.Abs() < jumpFrom {
		return 0
	}
	return jump
}
