package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"time"

	"creel/internal/runtime"
)

// SuspectAfter is how many crashes running a request may have met before it is
// let through alone: if the next instance dies with nothing else to blame, the
// request is poison (see Ask).
const SuspectAfter = 2

// Ask is what a request brings when it asks for a lease.
type Ask struct {
	// Until is when the request's hold time is over.
	Until time.Time
	// Crashes is in how many crashes running this request was in flight. From
	// SuspectAfter on it is a suspect: it gets its lease alone, while all
	// others wait until its answer has begun (or trialLimit has passed), so
	// that the next crash convicts it and no innocent request beside it.
	Crashes int
}

// Lease is the right to send one request to one instance. The zero Lease holds
// nothing. It is not for concurrent use.
type Lease struct {
	inst     *instance
	broker   *broker
	trial    *trial // not nil: granted to a suspect
	given    func() // not nil: to be called when it is given back
	begun    bool   // the answer has begun
	released bool
}

// Generation is the number of the instance.
func (l *Lease) Generation() uint64 { return l.inst.number }

// Addr is where the instance serves, as host:port.
func (l *Lease) Addr() string { return l.inst.addr }

// Ended is closed as soon as the instance's main process has ended.
func (l *Lease) Ended() <-chan struct{} { return l.inst.ended }

// Crashed tells, once Ended is closed, whether the instance ended without
// having been asked to in good order. One that fell silent and was ended for it
// has crashed.
func (l *Lease) Crashed() bool { return l.inst.fate.Load() != askedToEnd }

// FromOutside tells, once Ended is closed, whether the end looks like somebody
// else's doing: a SIGKILL that was not for want of memory, or an end of which
// nothing is known.
func (l *Lease) FromOutside() bool { return l.inst.outside.Load() }

// OnTrial tells whether the request was let through as a suspect, with others
// kept waiting.
func (l *Lease) OnTrial() bool { return l.trial != nil }

// Begun says that the answer has begun: whatever happens now, this request will
// not be sent again.
func (l *Lease) Begun() {
	if l.begun {
		return
	}
	l.begun = true
	l.inst.begun.Add(1)
	l.Moved()
	l.endTrial()
}

// Moved says that something came from the instance: it lives. It is cheap enough
// to be called with every piece of an answer, and may be called when the lease
// has been given back.
func (l *Lease) Moved() {
	if !l.inst.moved.Load() { // nearly always so: no write that others' caches must see
		l.inst.moved.Store(true)
	}
}

// Mover is Moved for somebody who outlives the lease.
func (l *Lease) Mover() func() {
	kept := Lease{inst: l.inst}
	return kept.Moved
}

func (l *Lease) endTrial() {
	if l.trial != nil {
		l.broker.trialOver(l.trial)
	}
}

// Served says that the instance has answered a request in full: it is of use.
func (l *Lease) Served() {
	if !l.inst.served.Load() {
		l.inst.served.Store(true)
	}
}

// Unreachable says that no connection could be made to the instance. While its
// process lives, the supervisor then checks it and lets requests wait; a report
// on an instance that is no longer the present one is of no consequence (I3).
func (l *Lease) Unreachable() {
	if l.broker != nil {
		l.broker.unreachable(l.inst)
		return
	}
	now := time.Now()
	l.inst.refused.Store(&now)
}

// Release gives the lease back. It must be called once, and may be called again
// on the same Lease, but not on a copy of it.
func (l *Lease) Release() {
	if l.inst == nil || l.released {
		return
	}
	l.released = true
	l.endTrial()
	if l.begun {
		l.inst.begun.Add(-1)
	}
	l.inst.leave()
	if l.given != nil {
		l.given()
	}
}

// instance is the face of a running instance towards lease holders.
type instance struct {
	number  uint64
	addr    string
	done    <-chan struct{} // of the runtime: closed when the main process has ended
	ended   chan struct{}   // closed right afterwards, when fate is decided
	fate    atomic.Int32    // how its end came about; the first to decide is right
	outside atomic.Bool     // its end looks like somebody else's doing
	served  atomic.Bool     // it has answered a request in full
	closed  atomic.Bool     // no new leases
	leases  atomic.Int64    // leases held
	begun   atomic.Int64    // those of them whose answer has begun
	moved   atomic.Bool     // something came from it since the monitor looked
	idle    chan struct{}   // gets a value when the last lease is given back while closed

	refused atomic.Pointer[time.Time] // of a Foreign: when it has refused a connection last; nil: never

	// owned by run
	watch  *monitor      // nil: not listened to yet
	told   chan struct{} // closed when its watch is over; nil: not watched
	killed bool          // a kill was tried
}

// The values of fate.
const (
	undecided  int32 = iota
	askedToEnd       // creel asked it to end
	crashed          // it ended before it was asked to
)

func newInstance(number uint64, addr string, done <-chan struct{}) *instance {
	return &instance{number: number, addr: addr, done: done, ended: make(chan struct{}), idle: make(chan struct{}, 1)}
}

// decide settles how the instance ends. Of one that has ended already nobody
// can ask it any more, even if its watch has yet to say so.
func (i *instance) decide(fate int32) {
	if i.hasEnded() {
		fate = crashed
	}
	i.fate.CompareAndSwap(undecided, fate)
}

// end tells lease holders of the end of the instance's main process. It must be
// called once.
func (i *instance) end(exit runtime.Exit) {
	i.decide(crashed)
	i.outside.Store(!exit.Known || exit.Signal == syscall.SIGKILL && !exit.OOM)
	close(i.ended)
}

// endAs is end, where another creel knows how it came about.
func (i *instance) endAs(f Fate) {
	fate := askedToEnd
	if f.Crashed {
		fate = crashed
	}
	i.fate.Store(fate)
	i.outside.Store(f.FromOutside)
	close(i.ended)
}

func (i *instance) hasEnded() bool {
	select {
	case <-i.done:
		return true
	default:
		return false
	}
}

var errEnded = errors.New("the instance has ended")

// enter takes a lease unless the instance is closed. Adding first and looking
// afterwards makes sure that whoever closes it either is seen here or sees this
// lease in the count.
func (i *instance) enter() bool {
	i.leases.Add(1)
	if i.closed.Load() {
		i.leave()
		return false
	}
	return true
}

func (i *instance) leave() {
	if i.leases.Add(-1) == 0 && i.closed.Load() {
		select {
		case i.idle <- struct{}{}:
		default:
		}
	}
}

// drained waits until no lease is held, and returns an error if ctx or the
// instance ends first. The instance must be closed.
func (i *instance) drained(ctx context.Context) error {
	for i.leases.Load() > 0 {
		select {
		case <-i.idle:
		case <-i.ended:
			return errEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
