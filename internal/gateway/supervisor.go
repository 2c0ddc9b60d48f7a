package gateway

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"creel/internal/change"
	"creel/internal/event"
	"creel/internal/runtime"
)

// Options are what a Supervisor needs. Name, Runtime, Plan and Prober must be set.
type Options struct {
	Name    string
	Runtime runtime.Runtime
	// Plan prepares what the instance needs and says what to run. It may take
	// its time; ctx ends when the start is called off.
	Plan func(ctx context.Context, generation uint64) (runtime.Spec, error)
	// Prober tells when an instance is ready.
	Prober Prober
	// Explain says in words how an instance ended; nil: Explain of this package.
	Explain func(exit runtime.Exit, log []string) End
	// Retire, if set, prepares an instance for its end in good order, before it is
	// sent SIGTERM: it lets work end that nothing else knows of. It is not called
	// for one that has never been ready, or that is replaced since it does not
	// answer. ctx ends in time for what is left of the grace.
	Retire func(ctx context.Context, generation uint64)
	// Keeper looks after the files that instances work on; nil: nobody does.
	Keeper Keeper
	// Tail gives the last lines of the instance's output, redacted; may be nil.
	Tail func() []string

	Policy       Policy
	ReadyTimeout time.Duration // from start to ready
	AliveTimeout time.Duration // a suspect's time to answer
	HoldRequests int           // longest waiting list
	Hang         Hang          // when an instance that does not answer is replaced
	OnDemand     bool          // start with the first request, not at once
	// Elsewhere is closed when the creel that has handed the gateway over has said, by
	// Lend, what it still has with it, or has ended: until then an instance that is found
	// counts as in use there, see shared.go. nil: nobody has handed it over.
	Elsewhere  <-chan struct{}
	LastKnown  uint64 // a generation that is known of from elsewhere: numbers go on behind it
	IntentPath string // file that keeps what was asked for; empty: kept nowhere

	// Shortage is told of errors in launching, probing, thawing and clearing away,
	// and tells whether one speaks of something that the machine lacks and may have
	// again in a moment: such a launch is tried again until it succeeds or is
	// called off, such a probe until it could be made. It is called with nil
	// when a launch, or a thaw that had failed, has succeeded, from any goroutine,
	// and must not block. May be nil.
	Shortage func(err error) bool

	Journal  Journal  // may be nil
	Recorder Recorder // may be nil
	Logger   *slog.Logger
}

// Prober waits for an instance to become ready, and tells whether it lives.
// Both return an error that says what was seen last when ctx ends or the
// instance dies.
type Prober interface {
	Ready(ctx context.Context, inst runtime.Instance) error
	Alive(ctx context.Context, inst runtime.Instance) error
}

// Journal takes events.
type Journal interface{ Record(event.Event) }

// Recorder takes measurements.
type Recorder interface {
	State(s string)               // the state that was entered
	Generation(n uint64)          // the present instance
	Restart(cause string)         // an instance ended by itself
	StartSeconds(d time.Duration) // from launch to ready
	Suspicion(reason string)      // an instance is suspected: "refused" or "silent"
	Cleared(reason string)        // and answers again
}

// errClosed is the cause of contexts that end because the supervisor does.
var errClosed = errors.New("creel is stopping")

// Supervisor keeps one gateway. One goroutine, run, owns all that is below
// "owned by run"; everybody else asks by events, or reads what it publishes.
// Since all wait for that goroutine, it never blocks, but for the first look
// (findTimeout).
type Supervisor struct {
	opts   Options
	log    *slog.Logger
	broker *broker
	inbox  chan message    // unbuffered: what was sent has been taken
	ctx    context.Context // ends when the supervisor does
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup // effects under way
	done   chan struct{}  // run has ended
	ran    atomic.Bool    // Run was called, or never will be
	status atomic.Pointer[Status]
	shown  atomic.Pointer[instance] // face, for AwaitEnd
	live   atomic.Pointer[Settings]
	watch  change.Signal // of the status

	looked  chan struct{} // closed when the first look is over
	stills  atomic.Uint64 // freezes begun and ended
	strayed atomic.Bool   // something ran in the gateway's name beside the recorded instance
	certain atomic.Bool   // a look has succeeded: an instance that is not known of does not run
	doubt   atomic.Bool   // a start has failed since: something of it may be left
	files   *files
	wanted  chan struct{} // capacity 1: a request waits for a stopped gateway
	turn    chan struct{} // holds a value while one of Start, Stop and Restart is at work, and for good after Leave
	shut    sync.Once     // puts it in
	closing atomic.Bool   // Close was called: nobody starts the gateway any more

	intent        *intentFile
	intentTrouble error            // from reading it
	late          runtime.Instance // launched when run had ended; written by the launch's task

	// owned by run
	machine  Machine
	inst     runtime.Instance
	face     *instance
	timer    *time.Timer
	waits    context.CancelFunc // ends probes and drains of the present epoch
	launch   context.CancelFunc // calls off the launch under way
	launchAt time.Time          // when the present instance was executed; what its plan took before, such as an installation, is no part of a start
	adopted  bool
	spent    time.Duration // how long the last start took
	restarts uint64
	notGone  string // what was in the way of the present instance's end when that was told last
}

// message is an event with what the pure machine need not know.
type message struct {
	Event
	inst runtime.Instance // Launched, Found, FoundDead
	// settings, look or thaw, if not nil, are to be taken in place of an event.
	settings *Settings
	look     *look
	thaw     *thawing
	taken    chan<- bool // gets whether the event was of consequence; may be nil
}

// New makes a supervisor, and reads what was asked of the gateway before. Run
// must be called for it to do anything.
func New(o Options) *Supervisor {
	if o.Explain == nil {
		o.Explain = Explain
	}
	if o.Tail == nil {
		o.Tail = func() []string { return nil }
	}
	if o.Journal == nil {
		o.Journal = nobody{}
	}
	if o.Recorder == nil {
		o.Recorder = nobody{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &Supervisor{
		opts: o, log: o.Logger, inbox: make(chan message), ctx: ctx, cancel: cancel, done: make(chan struct{}),
		looked: make(chan struct{}), files: newFiles(), wanted: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		machine: Machine{Policy: o.Policy, State: Stopped, Since: time.Now()},
	}
	s.live.Store(o.settings())
	s.intent, s.intentTrouble = openIntent(o.IntentPath)
	s.recall() // before the first look too the status says what was asked for
	s.broker = &broker{
		limit:  o.HoldRequests,
		report: func(g uint64) { s.post(message{Event: Event{Kind: Reported, Generation: g}}) },
		demand: s.Demand,
		why:    s.holdTimeout,
	}
	s.publish()
	return s
}

// Acquire gets a lease on the present instance, waiting while there is none.
// It returns *Unavailable if none can be had, or the cause of ctx's end. A
// request under an on-demand gateway starts it.
func (s *Supervisor) Acquire(ctx context.Context, ask Ask) (Lease, error) {
	return s.broker.acquire(ctx, ask)
}

// post hands an event to run. It waits only while run deals with earlier ones.
func (s *Supervisor) post(m message) bool {
	select {
	case s.inbox <- m:
		return true
	case <-s.done:
		return false
	}
}

// Demand starts an on-demand gateway, as a request that waits for it does; in
// all other states it is of no consequence, so the common case costs no event.
// It never blocks, not even while run has not begun. That the status read here
// may be an old one does no harm to requests that wait: see tell.
func (s *Supervisor) Demand() {
	if s.status.Load().State != Stopped {
		return
	}
	select {
	case s.wanted <- struct{}{}:
	default: // run knows
	}
}

// Run looks for an instance that an earlier creel has left, and then keeps the
// gateway until Close or Leave is called. It must be called once; after Close
// or Leave it returns at once.
func (s *Supervisor) Run() {
	if !s.ran.CompareAndSwap(false, true) {
		return
	}
	defer close(s.done)
	defer s.end()
	s.reconcile()
	s.heed()
	for s.ctx.Err() == nil {
		select {
		case m := <-s.inbox:
			s.take(m)
		case <-s.wanted:
			s.take(message{Event: Event{Kind: Demand}})
		case <-s.ctx.Done():
		}
	}
}

// take lets the machine decide and does what it says.
func (s *Supervisor) take(m message) {
	if m.settings != nil {
		s.configure(m.settings)
		m.taken <- true
		return
	}
	switch {
	case m.look != nil:
		s.lookedAgain(m.look)
		return
	case m.thaw != nil:
		s.task(func() { s.thawOn(m.thaw) })
		return
	}
	ok := s.decide(m)
	if ok {
		s.tell()
	}
	if m.taken != nil {
		m.taken <- ok
	}
}

// tell makes the new state known. Ready is not said before leases can be had.
// All else is said first: a request that joins the queue afterwards has seen it,
// and one that has not is seen by gate, so that no demand is lost.
func (s *Supervisor) tell() {
	if s.machine.State == Ready {
		s.gate()
		s.publish()
		return
	}
	s.publish()
	s.gate()
}

// decide asks the machine, and begins what it says. It reports whether m was of
// consequence.
func (s *Supervisor) decide(m message) bool {
	if s.closing.Load() && (m.Kind == AskStart || m.Kind == AskRestart) {
		return false
	}
	m.At, m.Roll, m.Shared = time.Now(), rand.Float64(), s.opts.Elsewhere != nil
	before := s.machine
	effects, ok := s.machine.Next(m.Event)
	if !ok {
		return false
	}
	if before.Epoch != s.machine.Epoch {
		s.endWaits()
	}
	if m.inst != nil {
		s.hold(m.inst, m.Kind == Found)
	}
	if s.machine.State == Ready && before.State != Ready {
		if s.opts.Keeper != nil {
			s.opts.Keeper.Ready(s.machine.Generation)
		}
		s.gate() // those who wait for it need not wait for what follows
	}
	s.note(before, m.Event)
	for _, e := range effects {
		s.do(e)
	}
	return true
}

// hold keeps an instance as the present one.
func (s *Supervisor) hold(inst runtime.Instance, adopted bool) {
	s.inst = inst
	s.face = newInstance(s.machine.Generation, inst.Addr(), inst.Done())
	if adopted && s.opts.Elsewhere != nil {
		s.holdElsewhere(s.face)
	}
	s.shown.Store(s.face)
	s.adopted, s.launchAt = adopted, inst.Record().StartedAt
}

// gate lets requests through, wait, or turn back, as the state demands.
func (s *Supervisor) gate() {
	if u := s.machine.unavailable(); u != nil {
		if s.closing.Load() {
			u = shuttingDown()
		}
		s.broker.refuse(u)
		return
	}
	if s.machine.State == Ready {
		s.broker.offer(s.face)
		return
	}
	s.broker.hold()
	if s.machine.State == Stopped && s.broker.held() > 0 {
		s.take(message{Event: Event{Kind: Demand}})
	}
}

// endWaits ends what was waited for in the epoch before.
func (s *Supervisor) endWaits() {
	s.stopTimer()
	if s.waits != nil {
		s.waits()
		s.waits = nil
	}
}

func (s *Supervisor) stopTimer() {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
}

// nobody is a Journal and a Recorder that takes no notice.
type nobody struct{}

func (nobody) Record(event.Event)         {}
func (nobody) State(string)               {}
func (nobody) Generation(uint64)          {}
func (nobody) Restart(string)             {}
func (nobody) StartSeconds(time.Duration) {}
func (nobody) Suspicion(string)           {}
func (nobody) Cleared(string)             {}
