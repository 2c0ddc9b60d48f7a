package gateway

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a model of what surrounds a machine: at most one launch or instance,
// and results that are under way. Whatever it is asked to do it does, sooner or
// later, in one of the ways in which reality may do it.
type world struct {
	m   Machine
	now time.Time

	launch   uint64 // generation of the launch under way; 0: none
	restore  bool   // it is restoring
	instance uint64 // generation of the instance of which something is left; 0: none
	unknown  uint64 // generation of an instance that creel has not found yet; 0: none
	alive    bool   // its main process runs
	kill     bool   // a kill is under way
	lost     bool   // the lease is lost, and nobody has said anything since
	highest  uint64 // generation of the last launch
	exits    []uint64
	waits    []wait // probes, drains and timers, those of earlier epochs too
}

type wait struct {
	kind  EffectKind
	epoch uint64
}

// newWorld begins as a supervisor does after its first look.
func newWorld(t *rapid.T) *world {
	p := testPolicy
	p.Fruitless = rapid.IntRange(1, 4).Draw(t, "limit")
	p.RetryFailed = rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "retry")
	kept := rapid.Uint64Range(0, 3).Draw(t, "kept")
	w := &world{now: t0, highest: kept, m: Machine{
		Policy: p, State: Stopped, Generation: kept, Begun: kept, Asked: rapid.Bool().Draw(t, "stay stopped"),
	}}
	old := rapid.Uint64Range(1, 3).Draw(t, "found generation")
	switch rapid.SampledFrom([]string{"nothing", "running", "dead", "not found"}).Draw(t, "left") {
	case "running":
		w.instance, w.alive, w.highest = old, true, max(kept, old)
		w.send(t, Event{Kind: Found, Generation: old, Shared: rapid.Bool().Draw(t, "shared")})
	case "dead":
		w.instance, w.highest = old, max(kept, old)
		w.send(t, Event{Kind: FoundDead, Generation: old, End: End{Generation: old, Cause: CauseCreelAway}})
	case "not found":
		w.unknown = old
	}
	return w
}

// send gives an event to the machine and does what it says.
func (w *world) send(t *rapid.T, e Event) {
	w.now = w.now.Add(time.Second)
	e.At, e.Roll = w.now, rapid.Float64Range(0, 0.99).Draw(t, "roll")
	before := w.m
	switch e.Kind {
	case Demand, AskStart, AskStop, AskRestart, ConfigNew, LeaseHeld:
		w.lost = false
	}
	effects, ok := w.m.Next(e)
	if !ok && (len(effects) > 0 || !reflect.DeepEqual(before, w.m)) {
		t.Fatalf("%v was of no consequence, and yet: %+v became %+v, %v", e, before, w.m, effects)
	}
	retried := before.State == Stopping && w.m.State == Starting && before.Then == ThenRetry && !before.Renewed
	if retried && max(before.Fruitless, before.Hasty) > 1 {
		t.Fatalf("the next of %d fruitless and %d hasty instances is launched without a pause", before.Fruitless, before.Hasty)
	}
	for _, effect := range effects {
		w.do(t, effect)
	}
}

func (w *world) do(t *rapid.T, e Effect) {
	switch e.Kind {
	case Launch:
		if w.launch != 0 || w.instance != 0 {
			t.Fatalf("I1: launch of %d while launch %d or instance %d is there", w.m.Generation, w.launch, w.instance)
		}
		if w.lost {
			t.Fatalf("launch of %d though the lease is lost", w.m.Generation)
		}
		if w.m.Generation <= w.highest {
			t.Fatalf("generation %d was given before (highest: %d)", w.m.Generation, w.highest)
		}
		w.launch, w.highest = w.m.Generation, w.m.Generation
	case CallOff:
		if w.launch == 0 {
			t.Fatal("nothing to call off")
		}
	case Watch:
		if w.m.Generation != w.instance {
			t.Fatalf("watch of %d, the instance is %d", w.m.Generation, w.instance)
		}
	case Terminate, Kill:
		if w.instance != w.m.Generation {
			t.Fatalf("%s of %d, the instance is %d", e.Kind, w.m.Generation, w.instance)
		}
		if w.kill {
			t.Fatalf("%s while a kill is under way", e.Kind)
		}
		w.kill = e.Kind == Kill
	case AwaitReady, Listen, Check, Observe, Drain, Arm:
		// The supervisor keeps one timer and one other wait for an epoch.
		if e.Kind == Arm && w.pending(Arm) || e.Kind != Arm && w.pending(AwaitReady, Listen, Check, Observe, Drain) {
			t.Fatalf("a second %s in epoch %d", e.Kind, w.m.Epoch)
		}
		w.waits = append(w.waits, wait{e.Kind, w.m.Epoch})
	}
}

// launchEnds lets a launch come to one of its ends.
func (w *world) launchEnds(t *rapid.T, canFail bool) {
	g := w.launch
	outcome := "runs"
	if canFail {
		outcome = rapid.SampledFrom([]string{"runs", "fails", "refused", "called off", "unowned"}).Draw(t, "launch")
	}
	if w.restore && outcome == "runs" {
		w.restoreTurns(t)
	}
	w.launch, w.restore = 0, false
	switch {
	case outcome == "runs" && w.unknown != 0:
		w.instance, w.unknown, w.alive = w.unknown, 0, true
		w.highest = max(w.highest, w.instance)
		w.send(t, Event{Kind: Found, Generation: w.instance, Shared: rapid.Bool().Draw(t, "shared")})
	case outcome == "runs":
		w.instance, w.alive = g, true
		w.send(t, Event{Kind: Launched, Generation: g})
	default:
		cause := CauseLaunch
		if outcome == "unowned" {
			cause = CauseOwnedElsewhere
		}
		end := End{Generation: g, Cause: cause, Permanent: outcome == "refused", Benign: outcome == "called off"}
		w.send(t, Event{Kind: LaunchFailed, Generation: g, End: end})
	}
}

// restoreTurns lets a launch begin to restore, or end it.
func (w *world) restoreTurns(t *rapid.T) {
	kind := RestoreBegun
	if w.restore {
		kind = RestoreEnded
	}
	w.restore = !w.restore
	w.send(t, Event{Kind: kind, Generation: w.launch})
}

// dies ends the main process. Its report may be as late as it likes.
func (w *world) dies() {
	w.alive = false
	w.exits = append(w.exits, w.instance)
}

func (w *world) exitTold(t *rapid.T, i int) {
	g := w.exits[i]
	w.exits = slices.Delete(w.exits, i, i+1)
	w.send(t, Event{Kind: Exited, Generation: g, Served: rapid.Bool().Draw(t, "served"), End: End{
		Generation: g, Cause: CauseSignal,
		Permanent: rapid.IntRange(0, 9).Draw(t, "permanent") == 0, Benign: rapid.Bool().Draw(t, "benign"),
	}})
}

func (w *world) killEnds(t *rapid.T, succeeds bool) {
	w.kill = false
	if !succeeds {
		w.send(t, Event{Kind: NotGone, Generation: w.instance})
		return
	}
	g := w.instance
	if w.alive {
		w.dies()
	}
	w.instance = 0
	w.send(t, Event{Kind: Gone, Generation: g})
}

// waitEnds lets the i-th wait end. That of an earlier epoch changes nothing.
func (w *world) waitEnds(t *rapid.T, i int) {
	x := w.waits[i]
	w.waits = slices.Delete(w.waits, i, i+1)
	e := Event{Kind: TimeUp, Epoch: x.epoch}
	switch {
	case x.kind == Drain:
		e.Kind = Drained
	case x.kind == Listen:
		e.Kind, e.End = Silent, End{Message: "silent"}
	case x.kind == Arm:
	case rapid.Bool().Draw(t, "answers"):
		e.Kind = Answered
	default:
		e.Kind, e.End = Unanswered, End{Generation: w.m.Generation, Cause: CauseUnresponsive}
	}
	before := w.m
	w.send(t, e)
	if x.epoch != before.Epoch && !reflect.DeepEqual(before, w.m) {
		t.Fatalf("I3: %s of epoch %d changed epoch %d", e.Kind, x.epoch, before.Epoch)
	}
}

// pending tells whether a wait of the present epoch is under way.
func (w *world) pending(kinds ...EffectKind) bool {
	return slices.ContainsFunc(w.waits, func(x wait) bool { return x.epoch == w.m.Epoch && slices.Contains(kinds, x.kind) })
}

// check is what holds after every event.
func (w *world) check(t *rapid.T) {
	m := &w.m
	ends := true
	switch m.State {
	case Starting:
		ends = w.launch == m.Generation && !m.Launched && !w.restore || m.Launched && w.pending(AwaitReady)
	case Restoring:
		ends = w.launch == m.Generation && !m.Launched && w.restore
	case Suspect:
		ends = w.pending(Check) && !m.Silent || w.pending(Observe) && m.Silent
	case Draining:
		ends = w.pending(Arm) && w.pending(Drain)
	case Stopping:
		ends = w.kill || w.pending(Arm)
	case Backoff:
		ends = w.pending(Arm) && !m.NextStart.IsZero()
	case Failed:
		ends = m.NextStart.IsZero() || w.pending(Arm)
	case Ready:
		ends = m.Fruitless == 0 && m.Hasty == 0 || w.pending(Arm)
		if !w.pending(Listen) {
			t.Fatalf("nobody listens to a ready instance: %+v", w)
		}
	case Stopped:
	}
	if !ends {
		t.Fatalf("I8: nothing ends %s: %+v", m.State, w)
	}
	if w.instance == 0 && w.launch == 0 && !slices.Contains([]State{Stopped, Backoff, Failed}, m.State) {
		t.Fatalf("%s without an instance: %+v", m.State, w)
	}
	if w.instance != 0 && slices.Contains([]State{Stopped, Backoff, Failed}, m.State) {
		t.Fatalf("%s with instance %d", m.State, w.instance)
	}
	loop := m.Fruitless >= m.Policy.Fruitless
	if m.Fruitless > m.Policy.Fruitless || loop && slices.Contains([]State{Starting, Restoring, Ready, Suspect, Backoff}, m.State) {
		t.Fatalf("%d fruitless in a row (limit %d), and yet %s", m.Fruitless, m.Policy.Fruitless, m.State)
	}
	stopping := m.State == Stopped || m.Then == ThenStop && (m.State == Draining || m.State == Stopping || (m.State == Starting || m.State == Restoring) && !m.Launched)
	if m.Asked && !stopping {
		t.Fatalf("stop was asked for, and yet %s, then %s", m.State, m.Then)
	}
}

// leaseLost says that it must not run here. Nothing but a word to the contrary, or a
// person who wants it to start (and finds it refused by the next launch), leads
// back to a launch.
func (w *world) leaseLost(t *rapid.T) {
	before := w.m
	w.send(t, Event{Kind: LeaseLost, End: End{Cause: CauseOwnerUnknown, Message: "the store is away"}})
	m := &w.m
	w.lost = w.lost || m.Then == ThenYield && slices.Contains([]State{Starting, Restoring, Draining, Stopping}, m.State)
	if before.Asked != m.Asked {
		t.Fatalf("the loss of the lease has changed what was asked for: %+v", m)
	}
	ends := m.Then == ThenStop || m.Then == ThenYield
	if slices.Contains([]State{Ready, Suspect}, m.State) || slices.Contains([]State{Starting, Restoring, Draining, Stopping}, m.State) && !ends {
		t.Fatalf("the lease is lost, and yet %s, then %s", m.State, m.Then)
	}
}

// stray sends a result of another instance or epoch.
func (w *world) stray(t *rapid.T) {
	off := rapid.Uint64Range(1, 3).Draw(t, "off")
	if rapid.Bool().Draw(t, "earlier") {
		off = -off
	}
	e := Event{
		Kind:       rapid.SampledFrom(eventKinds[slices.Index(eventKinds, Launched):]).Draw(t, "kind"),
		Generation: w.m.Generation + off, Epoch: w.m.Epoch + off,
		End: End{Cause: CauseSignal, Permanent: true},
	}
	before := w.m
	w.send(t, e)
	if !reflect.DeepEqual(before, w.m) {
		t.Fatalf("I3: stray %v changed %+v to %+v", e, before, w.m)
	}
}

// settle lets everything that is under way come to its end, and asks nothing.
func (w *world) settle(t *rapid.T) {
	failures := 3 // what cannot be killed for ever cannot be stopped
	for range 50 {
		switch i := slices.IndexFunc(w.waits, func(x wait) bool { return x.epoch == w.m.Epoch }); {
		case w.m.State == Stopped:
			return
		case w.launch != 0:
			w.launchEnds(t, true)
		case w.kill:
			w.killEnds(t, failures == 0 || rapid.Bool().Draw(t, "gone"))
			failures = max(0, failures-1)
		case i >= 0:
			w.waitEnds(t, i)
		default:
			t.Fatalf("it rests in %s, not in stopped: %+v", w.m.State, w)
		}
		w.check(t)
	}
	t.Fatalf("it does not come to rest: %+v", w)
}

// TestMachineInAnyWorld walks through random events in random order, and asks
// for a stop in the end.
func TestMachineInAnyWorld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		ask := func(k EventKind) func(*rapid.T) {
			return func(t *rapid.T) { w.send(t, Event{Kind: k}) }
		}
		only := func(ok bool, t *rapid.T) {
			if !ok {
				t.Skip("not possible now")
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"":             w.check,
			"demand":       ask(Demand),
			"ask start":    ask(AskStart),
			"ask stop":     ask(AskStop),
			"ask restart":  ask(AskRestart),
			"new config":   ask(ConfigNew),
			"lease lost":   w.leaseLost,
			"lease held":   ask(LeaseHeld),
			"stray":        w.stray,
			"launch ends":  func(t *rapid.T) { only(w.launch != 0, t); w.launchEnds(t, true) },
			"launch works": func(t *rapid.T) { only(w.launch != 0, t); w.launchEnds(t, false) },
			"restore":      func(t *rapid.T) { only(w.launch != 0 && w.unknown == 0, t); w.restoreTurns(t) },
			"dies":         func(t *rapid.T) { only(w.alive, t); w.dies() },
			"exit told": func(t *rapid.T) {
				only(len(w.exits) > 0, t)
				w.exitTold(t, rapid.IntRange(0, len(w.exits)-1).Draw(t, "which"))
			},
			"gone":     func(t *rapid.T) { only(w.kill, t); w.killEnds(t, true) },
			"not gone": func(t *rapid.T) { only(w.kill, t); w.killEnds(t, false) },
			"a wait ends": func(t *rapid.T) {
				only(len(w.waits) > 0, t)
				w.waitEnds(t, rapid.IntRange(0, len(w.waits)-1).Draw(t, "which"))
			},
			"cannot dial":    func(t *rapid.T) { w.send(t, Event{Kind: Reported, Generation: w.m.Generation}) },
			"dials too late": func(t *rapid.T) { w.send(t, Event{Kind: Reported, Generation: w.m.Generation - 1}) },
		})
		w.send(t, Event{Kind: AskStop})
		w.settle(t)
		if !w.m.Asked {
			t.Fatal("stopped, but not because it was asked to")
		}
	})
}
