package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"creel/internal/liveness"
	"creel/internal/runtime"
)

// Hang says when an instance that does not answer any more is replaced.
type Hang struct {
	Listen   bool          // false: nobody listens, and none is ever suspected of silence
	Restart  bool          // false: silence is reported, and nothing is done
	Interval time.Duration // between two questions
	Policy   liveness.Policy
}

// timeout is how long one question may take. Suspicion takes at least two that
// have been asked in vain.
func (h Hang) timeout() time.Duration { return h.Policy.Suspect / 2 }

// beat is how often a monitor looks at the clock. What creel itself misses of it
// is no time in which the instance was silent.
func (h Hang) beat() time.Duration { return max(h.Interval/5, 5*time.Millisecond) }

// Pulser is a Prober that can ask whether an instance answers at all, be it to
// say no. With another, Alive is asked.
type Pulser interface {
	// Pulse asks once. An error that wraps ErrNotAsked says nothing of the
	// instance.
	Pulse(ctx context.Context, inst runtime.Instance) (Pulse, error)
}

// Pulse is an answer to Pulser.Pulse.
type Pulse struct {
	Stuck string // the app says that it is stuck: why; empty: it does not
	// Weak: the kernel has answered on the instance's behalf, as it does when it
	// takes a connection. Whether the instance accepts it, it alone shows.
	Weak bool
}

// ErrNotAsked says that an instance could not be asked, by no fault of its own.
var ErrNotAsked = errors.New("it could not be asked")

// monitor listens to one instance.
type monitor struct {
	inst   runtime.Instance
	face   *instance
	ask    func(context.Context, runtime.Instance) (Pulse, error)
	stills func() uint64

	// turn is held by the one task that listens: the one of the epoch before may
	// still be about to end.
	turn   sync.Mutex
	hang   Hang // that the task listens by
	record liveness.Record
	silent bool  // the silence of before goes on: the instance was found to work
	last   error // what the last question that was asked in vain has seen
	frozen uint64
	weak   bool // an answer is weak, and not looked at yet
}

// answer is what came of a question.
type answer struct {
	pulse Pulse
	err   error
	asked time.Duration // on the record's clock
	began time.Time
}

func (s *Supervisor) newMonitor() *monitor {
	m := &monitor{inst: s.inst, face: s.face, stills: s.stills.Load}
	m.ask = func(ctx context.Context, inst runtime.Instance) (Pulse, error) {
		return Pulse{}, s.opts.Prober.Alive(ctx, inst)
	}
	if p, ok := s.opts.Prober.(Pulser); ok {
		m.ask = p.Pulse
	}
	return m
}

// finding is what a monitor has come to know.
type finding struct {
	liveness.Signals
	verdict liveness.Verdict
	last    error // as the monitor's
}

// listen is until, after a sign of life, which being ready is.
func (m *monitor) listen(ctx context.Context, hang Hang, done func(liveness.Verdict) bool) (finding, bool) {
	m.turn.Lock()
	if !m.silent {
		m.record.Answered()
	}
	m.silent = false
	m.turn.Unlock()
	return m.until(ctx, hang, done)
}

// until listens until done says so of a verdict, and returns false if ctx ends
// first.
func (m *monitor) until(ctx context.Context, hang Hang, done func(liveness.Verdict) bool) (finding, bool) {
	m.turn.Lock()
	defer m.turn.Unlock()
	m.hang = hang
	answers := make(chan answer, 1)
	asking, stop := context.WithCancel(ctx)
	under := false // a question is under way
	defer func() {
		stop()
		if under {
			<-answers
		}
	}()
	beat := time.NewTicker(m.hang.beat())
	defer beat.Stop()
	last, due := time.Now(), m.record.Now()
	m.frozen = m.stills()
	for {
		if !under && m.record.Now() >= due {
			under, due = true, m.record.Now()+m.hang.Interval
			began, asked := time.Now(), m.record.Now()
			go func() { // ends with the question
				ctx, cancel := context.WithTimeout(asking, m.hang.timeout())
				defer cancel()
				p, err := m.ask(ctx, m.inst)
				answers <- answer{p, err, asked, began}
			}()
		}
		select {
		case <-ctx.Done():
			return finding{}, false
		case a := <-answers:
			under = false
			m.answered(ctx, a)
		case <-beat.C:
			now := time.Now()
			m.tick(now.Sub(last))
			last = now
		}
		s := m.record.Signals()
		if v := liveness.Judge(s, hang.Policy); done(v) {
			m.silent = v == liveness.Busy
			return finding{s, v, m.last}, true
		}
	}
}

// answered takes what came of a question.
func (m *monitor) answered(ctx context.Context, a answer) {
	switch {
	case a.err == nil && a.pulse.Weak:
		m.weak = true // the next beat tells
	case a.err == nil:
		m.record.Answered()
		m.record.Word(a.pulse.Stuck)
	case ctx.Err() != nil, errors.Is(a.err, ErrNotAsked):
	case m.record.Now()-a.asked+2*m.hang.beat() < time.Since(a.began):
		// Its time was over because creel, or the instance, did not run.
	default:
		m.last = a.err
		m.record.Unanswered()
	}
}

// tick lets time pass on the record's clock: what has really passed, unless that
// cannot be counted against the instance.
func (m *monitor) tick(passed time.Duration) {
	if m.face.moved.Swap(false) {
		m.record.Answered()
	}
	m.record.Requests(int(max(0, m.face.leases.Load()-m.face.begun.Load())))
	beat := m.hang.beat()
	if passed > 3*beat {
		passed = beat // creel, or the machine, stood still
	}
	stills := m.stills()
	if stills != m.frozen || stills%2 == 1 {
		m.frozen = stills
		return // frozen by creel
	}
	m.look(passed)
}

// look advances the clock unless somebody holds the instance still, and sees to
// what its processes do: only while it is silent, since it costs something.
func (m *monitor) look(passed time.Duration) {
	w, ok := m.inst.(runtime.Watched)
	if !ok || m.record.Silence() < m.hang.Interval && !m.weak {
		m.record.Advance(passed)
		m.settle(0)
		return
	}
	a, err := w.Activity()
	if err != nil {
		m.record.Advance(passed)
		m.record.NotLooked()
		m.settle(0)
		return
	}
	if a.Held {
		return
	}
	m.record.Advance(passed)
	m.settle(a.Backlog)
	m.record.Looked(liveness.Activity{CPU: a.CPU, IO: a.IO, Tasks: a.Tasks, Runnable: a.Runnable})
}

// settle makes up for a weak answer: it counts if the instance has accepted all
// connections.
func (m *monitor) settle(backlog int) {
	if !m.weak {
		return
	}
	m.weak = false
	if backlog == 0 {
		m.record.Answered()
		return
	}
	m.last = fmt.Errorf("%d connections wait to be accepted", backlog)
	m.record.Unanswered()
}
