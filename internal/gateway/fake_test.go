package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/event"
	"creel/internal/runtime"
)

// fakeRuntime runs instances in memory. It fails the test when a second one is
// started while something of the first is left (I1), or when it is called by two
// goroutines at a time.
type fakeRuntime struct {
	t    testing.TB
	busy atomic.Bool

	mu       sync.Mutex
	recorded *fakeInstance
	started  []uint64
	times    []time.Time // of all starts, those that failed too
	hooks
	strays   []runtime.Stray // run beside the recorded instance
	strayErr error           // what Strays returns
	aside    bool            // SetAside was called
	asideErr error           // what SetAside returns
}

// hooks are what a test wants to be otherwise. They are changed by change once
// the supervisor runs.
type hooks struct {
	onStart func(ctx context.Context, spec runtime.Spec, i *fakeInstance) error // before the instance is there
	onFind  func() error
	anew    bool                  // Find makes an object of its own of an instance that has ended
	made    func(i *fakeInstance) // what a new instance is like
}

func (r *fakeRuntime) change(f func(h *hooks)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.hooks)
}

func (r *fakeRuntime) present() hooks {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hooks
}

var (
	_ asider  = (*fakeRuntime)(nil)
	_ strayer = (*fakeRuntime)(nil)
)

func (r *fakeRuntime) alone() func() {
	if r.busy.Swap(true) {
		r.t.Error("the runtime is called by two goroutines at a time")
	}
	return func() { r.busy.Store(false) }
}

func (r *fakeRuntime) Start(ctx context.Context, spec runtime.Spec) (runtime.Instance, error) {
	defer r.alone()()
	i := newFakeInstance(r, spec.Generation)
	h := r.present()
	if h.made != nil {
		h.made(i)
	}
	r.mu.Lock()
	r.times = append(r.times, time.Now())
	r.mu.Unlock()
	if h.onStart != nil {
		if err := h.onStart(ctx, spec, i); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.strays) > 0 {
		r.t.Errorf("I1: instance %d is started while %v run", spec.Generation, r.strays)
	}
	if r.recorded != nil {
		r.t.Errorf("I1: instance %d is started while %d is there", spec.Generation, r.recorded.record.Generation)
	}
	r.recorded = i
	r.started = append(r.started, spec.Generation)
	return i, nil
}

func (r *fakeRuntime) Find(ctx context.Context) (runtime.Instance, error) {
	defer r.alone()()
	if h := r.present(); h.onFind != nil {
		if err := h.onFind(); err != nil {
			return nil, err
		}
	}
	if i := r.now(); i != nil {
		if hasEnded(i) && r.present().anew {
			i = newFakeInstance(r, i.record.Generation)
			i.crash()
		}
		return i, ctx.Err()
	}
	return nil, runtime.ErrNoInstance
}

func (r *fakeRuntime) SetAside(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.aside = true
	if r.asideErr != nil {
		return "", r.asideErr
	}
	r.onFind = nil
	return "/data/record.json.aside", nil
}

func (r *fakeRuntime) Strays(context.Context, string) ([]runtime.Stray, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.strayErr != nil {
		return nil, r.strayErr
	}
	return slices.Clone(r.strays), nil
}

func (r *fakeRuntime) EndStrays(context.Context, string) ([]runtime.Stray, error) {
	defer r.alone()()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recorded != nil {
		return nil, errors.New("an instance is recorded")
	}
	ended := r.strays
	r.strays = nil
	return ended, nil
}

// now is the instance that is there; nil: none.
func (r *fakeRuntime) now() *fakeInstance {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recorded
}

func (r *fakeRuntime) starts() []uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.started)
}

// fakeInstance is an instance in memory. It is ready at once, ends when it is
// asked to, and can be killed, unless the test says otherwise.
type fakeInstance struct {
	rt     *fakeRuntime
	record runtime.Record

	ready      *gate // open: the probe for readiness holds
	alive      *gate // open: the probe for liveness holds
	ignoreTerm atomic.Bool
	unkillable atomic.Bool
	terms      atomic.Int32
	kills      atomic.Int32
	frozen     atomic.Bool
	held       atomic.Bool  // by somebody else than creel
	hidden     atomic.Bool  // its processes cannot be looked at
	opaque     atomic.Bool  // to examine it takes all the time that there is
	busy       atomic.Bool  // its processes work
	backlog    atomic.Int32 // connections that it does not accept
	looks      atomic.Int32 // at its activity
	thaws      atomic.Int32
	restless   atomic.Bool  // it does not stand still
	frostbite  atomic.Int32 // how often it cannot be thawed yet

	freezeErr error // what Freeze returns, with the instance held all the same

	once sync.Once
	done chan struct{}
	exit runtime.Exit
}

func newFakeInstance(r *fakeRuntime, generation uint64) *fakeInstance {
	return &fakeInstance{
		rt: r, ready: newGate(true), alive: newGate(true), done: make(chan struct{}),
		record: runtime.Record{Generation: generation, PID: 1000 + int(generation), StartedAt: time.Now()},
	}
}

func (i *fakeInstance) Record() runtime.Record { return i.record }
func (i *fakeInstance) Addr() string           { return fmt.Sprintf("127.0.0.1:%d", 30000+i.record.Generation) }
func (i *fakeInstance) Done() <-chan struct{}  { return i.done }
func (i *fakeInstance) Exit() runtime.Exit     { return i.exit }

// die ends the main process by a signal, or with a code if sig is 0.
func (i *fakeInstance) die(sig syscall.Signal, code int) {
	i.once.Do(func() {
		i.exit = runtime.Exit{Known: true, Signal: sig, Code: code, At: time.Now()}
		close(i.done)
	})
}

func (i *fakeInstance) crash() { i.die(syscall.SIGSEGV, 0) }

func (i *fakeInstance) Terminate() error {
	i.terms.Add(1)
	i.frozen.Store(false)
	if !i.ignoreTerm.Load() {
		i.die(0, 0)
	}
	return nil
}

func (i *fakeInstance) Freeze(ctx context.Context) error {
	if hasEnded(i) || i.kills.Load() > 0 {
		return &runtime.EndedError{Gateway: i.record.Gateway, Generation: i.record.Generation}
	}
	if i.restless.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	i.frozen.Store(true)
	if i.freezeErr != nil {
		return i.freezeErr
	}
	return nil
}

func (i *fakeInstance) Thaw() error {
	i.thaws.Add(1)
	if i.frostbite.Add(-1) >= 0 {
		return syscall.EMFILE
	}
	i.frozen.Store(false)
	return nil
}

func (i *fakeInstance) Activity() (runtime.Activity, error) {
	i.looks.Add(1)
	if i.hidden.Load() {
		return runtime.Activity{}, syscall.EMFILE
	}
	a := runtime.Activity{Held: i.frozen.Load() || i.held.Load(), Backlog: int(i.backlog.Load())}
	if i.busy.Load() {
		a.CPU = time.Since(i.record.StartedAt)
	}
	return a, nil
}

func (i *fakeInstance) Examine(ctx context.Context) map[string]any {
	if i.opaque.Load() {
		<-ctx.Done()
	}
	return map[string]any{"threads": "all asleep"}
}

func (i *fakeInstance) Frozen() (bool, error) { return i.frozen.Load(), nil }

func (i *fakeInstance) Kill(ctx context.Context) error {
	i.kills.Add(1)
	i.frozen.Store(false)
	if i.unkillable.Load() {
		return errors.New("a process hangs in the kernel")
	}
	i.die(syscall.SIGKILL, 0)
	i.rt.mu.Lock()
	defer i.rt.mu.Unlock()
	if i.rt.recorded == i {
		i.rt.recorded = nil
	}
	return ctx.Err()
}

// gate is open or shut, and can be waited for.
type gate struct {
	waiting atomic.Int32 // how many wait

	mu   sync.Mutex
	pass chan struct{} // closed while the gate is open
}

func newGate(open bool) *gate {
	g := &gate{pass: make(chan struct{})}
	if open {
		close(g.pass)
	}
	return g
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.pass:
		if !open {
			g.pass = make(chan struct{})
		}
	default:
		if open {
			close(g.pass)
		}
	}
}

func (g *gate) wait(ctx context.Context, ended <-chan struct{}) error {
	g.mu.Lock()
	pass := g.pass
	g.mu.Unlock()
	select {
	case <-ended: // nothing answers then, whatever the gate says
		return errors.New("the process has ended")
	default:
	}
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	select {
	case <-pass:
		return nil
	case <-ended:
		return errors.New("the process has ended")
	case <-ctx.Done():
		return errors.New("connection refused")
	}
}

// fakeProber looks at an instance's gates.
type fakeProber struct{}

func (fakeProber) Ready(ctx context.Context, inst runtime.Instance) error {
	i := inst.(*fakeInstance)
	return i.ready.wait(ctx, i.done)
}

func (fakeProber) Alive(ctx context.Context, inst runtime.Instance) error {
	i := inst.(*fakeInstance)
	return i.alive.wait(ctx, i.done)
}

// journal keeps events in memory.
type journal struct {
	mu     sync.Mutex
	events []event.Event
}

func (j *journal) Record(e event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
}

// lines gives each event as "kind generation cause".
func (j *journal) lines() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []string
	for _, e := range j.events {
		line := fmt.Sprintf("%s %d", e.Kind, e.Generation)
		if e.Cause != "" {
			line += " " + e.Cause
		}
		list = append(list, line)
	}
	return list
}

// Times of the supervisors under test; Policy is testPolicy.
const (
	readyTime = 30 * time.Second
	aliveTime = 4 * time.Second
)

// rig is a supervisor with a runtime in memory. It is used in a synctest bubble.
type rig struct {
	*testing.T
	*Supervisor
	rt      *fakeRuntime
	journal *journal
	opts    Options
}

// newRig makes a supervisor, and runs it if the test does not say otherwise.
func newRig(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := &rig{T: t, rt: &fakeRuntime{t: t}, journal: &journal{}}
	r.opts = Options{
		Name: "g", Runtime: r.rt, Prober: fakeProber{}, Journal: r.journal,
		Plan: func(_ context.Context, g uint64) (runtime.Spec, error) {
			return runtime.Spec{Gateway: "g", Port: 1}, nil
		},
		Policy: testPolicy, ReadyTimeout: readyTime, AliveTimeout: aliveTime, HoldRequests: 1000,
	}
	for _, c := range change {
		c(&r.opts)
	}
	r.Supervisor = New(r.opts)
	t.Cleanup(func() { r.Leave() })
	return r
}

func onDemand(o *Options) { o.OnDemand = true }

// run runs the supervisor and waits until it has nothing to do.
func (r *rig) run() *rig {
	go r.Supervisor.Run()
	synctest.Wait()
	return r
}

// again is the next creel, with the same runtime, journal and options.
func (r *rig) again(change ...func(*Options)) *rig {
	r.Leave()
	next := &rig{T: r.T, rt: r.rt, journal: &journal{}, opts: r.opts}
	next.opts.Journal = next.journal
	for _, c := range change {
		c(&next.opts)
	}
	next.Supervisor = New(next.opts)
	r.Cleanup(func() { next.Leave() })
	return next
}

// pass lets time pass, and waits until nothing more happens.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (r *rig) wants(s State, starts ...uint64) {
	r.Helper()
	synctest.Wait()
	if st := r.Status(); st.State != s {
		r.Fatalf("state %s (%s), want %s; journal: %q", st.State, st.Reason, s, r.journal.lines())
	}
	if got := r.rt.starts(); starts != nil && !slices.Equal(got, starts) {
		r.Fatalf("started %v, want %v; journal: %q", got, starts, r.journal.lines())
	}
}

func (r *rig) wantsJournal(want ...string) {
	r.Helper()
	synctest.Wait() // who has a lease may have it before the journal says so
	if got := r.journal.lines(); !slices.Equal(got, want) {
		r.Errorf("journal:\n got %q\nwant %q", got, want)
	}
}

// ask calls Start, Stop, Restart or ConfigChanged.
func (r *rig) ask(f func(context.Context) error) {
	r.Helper()
	if err := f(r.Context()); err != nil {
		r.Fatal(err)
	}
	synctest.Wait()
}

// lease gets a lease that must be had at once.
func (r *rig) lease() *Lease {
	r.Helper()
	l, err := r.Acquire(r.Context(), Ask{Until: time.Now().Add(time.Millisecond)})
	if err != nil {
		r.Fatalf("no lease: %v", err)
	}
	return &l
}

// refusal is what a request gets that waits for d.
func (r *rig) refusal(d time.Duration) *Unavailable {
	r.Helper()
	l, err := r.Acquire(r.Context(), Ask{Until: time.Now().Add(d)})
	var u *Unavailable
	if !errors.As(err, &u) {
		l.Release()
		r.Fatalf("got %v, want *Unavailable", err)
	}
	return u
}

// bubble runs a test in a bubble of its own, with its own clock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
