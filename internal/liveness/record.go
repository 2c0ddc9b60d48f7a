package liveness

import "time"

// Activity is what the processes of an instance have done so far, all together.
type Activity struct {
	CPU   time.Duration // processor time used
	IO    uint64        // bytes read and written
	Tasks uint64        // changes with every process that begins or ends
	// Runnable: a thread runs at this moment, or would if there were a processor
	// for it: on a machine that has too much to do, nothing else shows.
	Runnable bool
}

// What an instance must do to count as working. A deadlocked one is not quite
// still: timers and collectors go on in some of its threads.
const (
	workingCPU = 0.05 // of one processor
	workingIO  = 1024 // bytes per second
)

// worked tells whether what was done between two looks counts as work.
func worked(before, after Activity, took time.Duration) bool {
	seconds := took.Seconds()
	return after.Runnable || (after.CPU-before.CPU).Seconds() >= workingCPU*seconds ||
		after.IO >= before.IO && float64(after.IO-before.IO) >= workingIO*seconds && after.IO > before.IO ||
		after.Tasks != before.Tasks
}

// Record is what is known of an instance over time. Its clock runs by Advance
// alone. It is not for concurrent use.
type Record struct {
	now     time.Duration // on its own clock
	sign    time.Duration // the last sign of life
	failed  bool          // a probe went unanswered since, or is late
	waiting time.Duration // since when requests have been waiting; see Requests
	count   int
	stuck   string

	looked   bool
	look     time.Duration // when last was what
	last     Activity
	work     time.Duration // the process was last seen to work, or begun to be looked at
	watching bool
}

// Now is the time on the record's clock.
func (r *Record) Now() time.Duration { return r.now }

// Advance lets time pass.
func (r *Record) Advance(d time.Duration) { r.now += d }

// Answered tells that a probe was answered, or that a byte came from the
// instance.
func (r *Record) Answered() {
	r.sign, r.failed, r.watching, r.looked = r.now, false, false, false
	r.waiting = r.now
}

// Unanswered tells that a probe is late, or was not answered.
func (r *Record) Unanswered() { r.failed = true }

// Requests tells how many requests wait for the beginning of their answer now.
func (r *Record) Requests(n int) {
	if n == 0 || r.count == 0 {
		r.waiting = r.now
	}
	r.count = n
}

// Word tells what the app says of itself: why it is stuck, or "".
func (r *Record) Word(stuck string) { r.stuck = stuck }

// Looked tells what the processes have done so far. Looks that follow one
// another at once say nothing and are left out.
func (r *Record) Looked(a Activity) {
	switch took := r.now - r.look; {
	case !r.watching:
		r.watching, r.work = true, r.now
	case took < minLook:
		return
	case !r.looked:
	case worked(r.last, a, took):
		r.work = r.now
	}
	r.looked, r.look, r.last = true, r.now, a
}

// minLook is the least time between two looks.
const minLook = 500 * time.Millisecond

// NotLooked tells that the processes could not be looked at.
func (r *Record) NotLooked() { r.looked, r.watching = false, false }

// Silence is for how long there was no sign of life.
func (r *Record) Silence() time.Duration { return r.now - r.sign }

// Signals are what is known now.
func (r *Record) Signals() Signals {
	s := Signals{Requests: r.count, Seen: r.watching, Stuck: r.stuck}
	if r.failed {
		s.Silent = r.now - r.sign
	}
	if r.count > 0 {
		s.Waiting = r.now - r.waiting
	}
	if r.watching {
		s.Idle = r.now - r.work
	}
	return s
}
