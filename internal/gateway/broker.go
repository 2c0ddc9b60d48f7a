package gateway

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// trialLimit is how long a suspect request keeps all others waiting at most.
const trialLimit = 2 * time.Second

// broker hands out leases. While an instance is open a lease costs three atomic
// operations; otherwise requests wait here, first come, first served.
//
// An instance is closed before anything is done to it, so a lease that was
// granted is always counted in what a drain waits for.
type broker struct {
	open   atomic.Pointer[instance] // not nil: leases are to be had at once
	report func(generation uint64)  // a lease holder could not connect
	demand func()                   // a request waits; never blocks
	why    func() *Unavailable      // what to tell a request whose hold time is over

	mu      sync.Mutex
	present *instance    // the instance to lease, open or with a trial going on; nil: wait
	refusal *Unavailable // not nil: waiting is of no use
	waiting list.List    // of *waiter
	limit   int          // longest waiting list
	trial   *trial       // the suspect that is alone now
}

type waiter struct {
	suspect bool
	grant   chan Lease        // capacity 1
	refuse  chan *Unavailable // capacity 1
}

// trial is the time in which one suspect request is alone with an instance.
type trial struct {
	timer *time.Timer
	aged  bool // others that are no suspects are let in beside it
}

// acquire waits for a lease until one is granted or refused, ctx is done, or
// ask.Until has passed.
func (b *broker) acquire(ctx context.Context, ask Ask) (Lease, error) {
	suspect := ask.Crashes >= SuspectAfter
	if !suspect {
		if i := b.open.Load(); i != nil && i.enter() {
			return Lease{inst: i, broker: b}, nil
		}
	}
	w := &waiter{suspect: suspect, grant: make(chan Lease, 1), refuse: make(chan *Unavailable, 1)}
	place, err := b.enqueue(w)
	if err != nil {
		return Lease{}, err
	}
	b.demand()
	timeUp := time.NewTimer(time.Until(ask.Until))
	defer timeUp.Stop()
	select {
	case l := <-w.grant:
		return l, nil
	case u := <-w.refuse:
		return Lease{}, u
	case <-ctx.Done():
		if l, granted := b.abandon(place, w); granted {
			l.Release() // nobody is there to use it
		}
		return Lease{}, context.Cause(ctx)
	case <-timeUp.C:
		if l, granted := b.abandon(place, w); granted {
			return l, nil
		}
		return Lease{}, b.why()
	}
}

func (b *broker) enqueue(w *waiter) (*list.Element, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusal != nil {
		return nil, b.refusal
	}
	if b.waiting.Len() >= b.limit {
		return nil, queueFull(b.limit)
	}
	place := b.waiting.PushBack(w)
	b.pump()
	return place, nil
}

// abandon takes a waiter off the list. It returns the lease, if one was granted
// in the same moment.
func (b *broker) abandon(place *list.Element, w *waiter) (Lease, bool) {
	b.mu.Lock()
	b.waiting.Remove(place) // of no effect if it is off the list already
	b.mu.Unlock()
	select {
	case l := <-w.grant:
		return l, true
	default:
		return Lease{}, false
	}
}

// offer opens an instance for leases, unless it has ended by now.
func (b *broker) offer(i *instance) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i.hasEnded() {
		return // lost has closed it, or will; Exited is on its way
	}
	i.closed.Store(false)
	b.present, b.refusal = i, nil
	b.pump()
}

// hold lets requests wait.
func (b *broker) hold() { b.shut(nil) }

// refuse turns away all who wait and all who come.
func (b *broker) refuse(u *Unavailable) { b.shut(u) }

// lost lets requests wait if i is the instance on offer, and tells whether it
// was. The supervisor learns of its fate a moment later; until then nobody else
// need find out in vain, or meet a stranger on its port.
func (b *broker) lost(i *instance) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.present != i {
		return false
	}
	b.shutLocked(nil)
	return true
}

// unreachable is told by a lease holder that could not connect. Of all those
// who meet the same refusal the first closes the instance, and only it reports.
func (b *broker) unreachable(i *instance) {
	if b.lost(i) && !i.hasEnded() {
		b.report(i.number)
	}
}

func (b *broker) shut(u *Unavailable) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shutLocked(u)
}

func (b *broker) shutLocked(u *Unavailable) {
	if b.present != nil {
		b.present.closed.Store(true)
	}
	b.present, b.refusal = nil, u
	b.open.Store(nil)
	b.endTrial()
	if u == nil {
		return
	}
	for e := b.waiting.Front(); e != nil; e = b.waiting.Front() {
		b.waiting.Remove(e)
		e.Value.(*waiter).refuse <- u
	}
}

// bound changes how many may wait. Those who do already stay.
func (b *broker) bound(limit int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
}

// pump grants what can be granted: the first suspect alone if there is one,
// else all that wait. b.mu is held.
func (b *broker) pump() {
	if b.present == nil {
		return
	}
	if b.trial == nil {
		if e := b.firstSuspect(); e != nil {
			b.open.Store(nil)
			b.beginTrial(e)
			return
		}
		b.open.Store(b.present)
	}
	if b.trial != nil && !b.trial.aged {
		return
	}
	for e, next := b.waiting.Front(), (*list.Element)(nil); e != nil; e = next {
		next = e.Next()
		if !e.Value.(*waiter).suspect {
			b.grant(e, nil)
		}
	}
}

func (b *broker) firstSuspect() *list.Element {
	for e := b.waiting.Front(); e != nil; e = e.Next() {
		if e.Value.(*waiter).suspect {
			return e
		}
	}
	return nil
}

func (b *broker) beginTrial(e *list.Element) {
	t := &trial{}
	b.trial = t
	t.timer = time.AfterFunc(trialLimit, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.trial == t && b.present != nil {
			t.aged = true
			b.open.Store(b.present)
			b.pump()
		}
	})
	b.grant(e, t)
}

// grant gives a lease to the waiter at e. b.mu is held, and closed changes only
// under it; b.present is open, so enter cannot fail.
func (b *broker) grant(e *list.Element, t *trial) {
	w := b.waiting.Remove(e).(*waiter)
	b.present.enter()
	w.grant <- Lease{inst: b.present, broker: b, trial: t}
}

func (b *broker) trialOver(t *trial) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.trial == t {
		b.endTrial()
		b.pump()
	}
}

func (b *broker) endTrial() {
	if b.trial != nil {
		b.trial.timer.Stop()
		b.trial = nil
	}
}

// held is how many requests wait.
func (b *broker) held() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting.Len()
}
