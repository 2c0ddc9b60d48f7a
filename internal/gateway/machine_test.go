package gateway

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// testPolicy has numbers that tell which of them was used.
var testPolicy = Policy{
	Drain: 10 * time.Second, Grace: 20 * time.Second, SilentGrace: 2 * time.Second, Stable: time.Minute,
	KillRetry: 5 * time.Second, Delay: 250 * time.Millisecond, MaxDelay: 30 * time.Second, Fruitless: 5,
	RetryFailed: 5 * time.Minute,
}

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// at is a machine in a state, at generation 3 of 3 and epoch 7.
func at(s State, change ...func(*Machine)) Machine {
	m := Machine{Policy: testPolicy, State: s, Generation: 3, Begun: 3, Epoch: 7, Then: ThenRetry, Since: t0.Add(-time.Hour)}
	for _, c := range change {
		c(&m)
	}
	return m
}

func asking(m *Machine)    { m.Asked = true }
func running(m *Machine)   { m.Launched = true }
func shared(m *Machine)    { m.Shared = true }
func wasReady(m *Machine)  { m.WasReady = true }
func killingIt(m *Machine) { m.Killing = true }
func newConfig(m *Machine) { m.Renewed = true }
func permanent(m *Machine) { m.Last = End{Generation: 3, Cause: CauseConfigRefused, Permanent: true} }

func then(t Then) func(*Machine)     { return func(m *Machine) { m.Then = t } }
func fruitless(n int) func(*Machine) { return func(m *Machine) { m.Fruitless = n } }
func hasty(n int) func(*Machine)     { return func(m *Machine) { m.Hasty = n } }
func lastOf(g uint64) func(*Machine) {
	return func(m *Machine) { m.Last = End{Generation: g, Cause: CauseSignal} }
}
func arm(d time.Duration) Effect { return Effect{Kind: Arm, After: d} }
func does(kinds ...EffectKind) []Effect {
	var list []Effect
	for _, k := range kinds {
		list = append(list, Effect{Kind: k})
	}
	return list
}

// row is one use of one rule.
type row struct {
	name string
	from Machine
	on   Event // generation 3 and epoch 7 unless it says otherwise
	to   State
	do   []Effect
	also func(t *testing.T, m Machine)
}

// launches tells that a new instance is begun, with what is forgotten then.
func launches(fruitless int) func(*testing.T, Machine) {
	return func(t *testing.T, m Machine) {
		t.Helper()
		want := Machine{Generation: 4, Begun: 4, Then: ThenRetry, Fruitless: fruitless}
		got := Machine{Generation: m.Generation, Begun: m.Begun, Then: m.Then, Fruitless: m.Fruitless,
			Asked: m.Asked, Launched: m.Launched, Killing: m.Killing, WasReady: m.WasReady, Renewed: m.Renewed, Shared: m.Shared}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("after a launch: %+v, want %+v", got, want)
		}
	}
}

func next(t Then, asked bool) func(*testing.T, Machine) {
	return func(tt *testing.T, m Machine) {
		tt.Helper()
		if m.Then != t || m.Asked != asked {
			tt.Errorf("then %q, asked %v; want %q, %v", m.Then, m.Asked, t, asked)
		}
	}
}

func counts(n int, cause Cause) func(*testing.T, Machine) {
	return func(t *testing.T, m Machine) {
		t.Helper()
		if m.Fruitless != n || m.Last.Cause != cause || m.Last.Generation != 3 {
			t.Errorf("fruitless %d, last %s of generation %d; want %d, %s of 3", m.Fruitless, m.Last.Cause, m.Last.Generation, n, cause)
		}
	}
}

func suspected(silent bool, why string) func(*testing.T, Machine) {
	return func(t *testing.T, m Machine) {
		t.Helper()
		if m.Silent != silent || m.Suspicion != why {
			t.Errorf("silent %v, suspicion %q; want %v, %q", m.Silent, m.Suspicion, silent, why)
		}
	}
}

func startsAt(d time.Duration) func(*testing.T, Machine) {
	return func(t *testing.T, m Machine) {
		t.Helper()
		if want := t0.Add(d); !m.NextStart.Equal(want) {
			t.Errorf("next start at %v, want %v", m.NextStart, want)
		}
	}
}

var (
	crash   = Event{Kind: Exited, End: End{Cause: CauseSignal}}
	useful  = Event{Kind: Exited, End: End{Cause: CauseSignal}, Served: true}
	benign  = Event{Kind: Exited, End: End{Cause: CauseExit, Benign: true}}
	refused = Event{Kind: LaunchFailed, End: End{Cause: CauseCommand, Permanent: true}}
	noStart = Event{Kind: LaunchFailed, End: End{Cause: CauseLaunch}}
	offDuty = Event{Kind: LaunchFailed, End: End{Cause: CauseAsked, Benign: true}}
	silent  = Event{Kind: Unanswered, End: End{Cause: CauseUnresponsive}}
	unowned = Event{Kind: LaunchFailed, End: End{Cause: CauseOwnedElsewhere}}
	lost    = Event{Kind: LeaseLost, End: End{Cause: CauseOwnerUnknown}}
	found2  = Event{Kind: Found, Generation: 2}
	inUse   = Event{Kind: Found, Generation: 2, Shared: true}
	gone    = Event{Kind: Gone}
	toEnd   = append(does(Terminate), arm(testPolicy.Grace))
	toDrain = append(does(Drain), arm(testPolicy.Drain))
	replace = append(does(Terminate), arm(testPolicy.SilentGrace))
)

func ruleRows() []row {
	return []row{
		{"demand starts", at(Stopped, fruitless(2)), Event{Kind: Demand}, Starting, does(Launch), launches(0)},
		{"start starts", at(Stopped, asking), Event{Kind: AskStart}, Starting, does(Launch), launches(0)},
		{"restart starts", at(Stopped, asking), Event{Kind: AskRestart}, Starting, does(Launch), launches(0)},
		{"stop is kept in mind", at(Stopped, then("")), Event{Kind: AskStop}, Stopped, nil, next("", true)},
		{"found though it should have stopped", at(Stopped, asking), found2, Stopping, append(does(Watch), toEnd...), next(ThenStop, true)},
		{"found: taken over", at(Stopped), found2, Starting, does(Watch, AwaitReady), func(t *testing.T, m Machine) {
			if m.Generation != 2 || m.Begun != 3 || !m.Launched || m.Then != ThenRetry {
				t.Errorf("after adoption: %+v", m)
			}
		}},
		{"found dead", at(Stopped), Event{Kind: FoundDead, Generation: 9, End: End{Cause: CauseCreelAway}}, Stopping, does(Kill), func(t *testing.T, m Machine) {
			if m.Generation != 9 || m.Begun != 9 || m.Then != ThenStop || m.Asked || m.Last.Cause != CauseCreelAway {
				t.Errorf("after a dead find: %+v", m)
			}
		}},

		{"launched too late to call off", at(Starting, then(ThenStop), asking), Event{Kind: Launched}, Stopping, append(does(Watch), toEnd...), next(ThenStop, true)},
		{"launched though another is wanted", at(Starting, then(ThenStart)), Event{Kind: Launched}, Stopping, append(does(Watch), toEnd...), next(ThenStart, false)},
		{"launched", at(Starting), Event{Kind: Launched}, Starting, does(Watch, AwaitReady), func(t *testing.T, m Machine) {
			if !m.Launched {
				t.Error("not launched")
			}
		}},
		{"called off", at(Starting, then(ThenStop), asking, fruitless(3)), offDuty, Stopped, nil, next(ThenStop, true)},
		{"called off for another", at(Starting, then(ThenStart), fruitless(3)), offDuty, Starting, does(Launch), launches(0)},
		{"failed with an old configuration", at(Starting, newConfig, fruitless(4)), refused, Starting, does(Launch), launches(0)},
		{"cannot be started at all", at(Starting), refused, Failed, nil, counts(1, CauseCommand)},
		{"cannot be started, too often", at(Starting, fruitless(4)), noStart, Failed, []Effect{arm(testPolicy.RetryFailed)}, startsAt(testPolicy.RetryFailed)},
		{"cannot be started, again", at(Starting, fruitless(1)), noStart, Backoff, []Effect{arm(testPolicy.Delay)}, startsAt(testPolicy.Delay)},
		{"cannot be started, once", at(Starting), noStart, Starting, does(Launch), launches(1)},
		{"found before a launch, not wanted", at(Starting, then(ThenStop), asking), found2, Stopping, append(does(Watch), toEnd...), next(ThenStop, true)},
		{"found before a launch", at(Starting), found2, Starting, does(Watch, AwaitReady), next(ThenRetry, false)},
		{"ready", at(Starting, running), Event{Kind: Answered}, Ready, does(Listen), func(t *testing.T, m Machine) {
			if !m.WasReady {
				t.Error("readiness not noted")
			}
		}},
		{"not ready in time", at(Starting, running), silent, Stopping, replace, counts(1, CauseUnresponsive)},
		{"died before it was ready", at(Starting, running), crash, Stopping, does(Kill), counts(1, CauseSignal)},
		{"stop while it gets ready", at(Starting, running), Event{Kind: AskStop}, Stopping, toEnd, next(ThenStop, true)},
		{"stop while it is launched", at(Starting), Event{Kind: AskStop}, Starting, does(CallOff), next(ThenStop, true)},
		{"stop taken back", at(Starting, then(ThenStop), asking), Event{Kind: AskStart}, Starting, nil, next(ThenStart, false)},
		{"restart while it gets ready", at(Starting, running), Event{Kind: AskRestart}, Stopping, toEnd, next(ThenStart, false)},
		{"restart while it is launched", at(Starting), Event{Kind: AskRestart}, Starting, does(CallOff), next(ThenStart, false)},
		{"configured while it starts", at(Starting), Event{Kind: ConfigNew}, Starting, nil, isRenewed},
		{"has to restore", at(Starting), Event{Kind: RestoreBegun}, Restoring, nil, next(ThenRetry, false)},
		{"has to restore, called off", at(Starting, then(ThenStop), asking), Event{Kind: RestoreBegun}, Restoring, nil, next(ThenStop, true)},

		{"restored", at(Restoring), Event{Kind: RestoreEnded}, Starting, nil, func(t *testing.T, m Machine) {
			if m.Launched || m.Generation != 3 {
				t.Errorf("launched %v, generation %d", m.Launched, m.Generation)
			}
		}},
		{"restore called off", at(Restoring, then(ThenStop), asking, fruitless(3)), offDuty, Stopped, nil, next(ThenStop, true)},
		{"restore called off for another", at(Restoring, then(ThenStart), fruitless(3)), offDuty, Starting, does(Launch), launches(0)},
		{"restore failed with an old configuration", at(Restoring, newConfig, fruitless(4)), refused, Starting, does(Launch), launches(0)},
		{"cannot be restored at all", at(Restoring), refused, Failed, nil, counts(1, CauseCommand)},
		{"cannot be restored, again", at(Restoring, fruitless(1)), noStart, Backoff, []Effect{arm(testPolicy.Delay)}, startsAt(testPolicy.Delay)},
		{"cannot be restored, once", at(Restoring), noStart, Starting, does(Launch), launches(1)},
		{"stop while it is restored", at(Restoring), Event{Kind: AskStop}, Restoring, does(CallOff), next(ThenStop, true)},
		{"stop taken back while it is restored", at(Restoring, then(ThenStop), asking), Event{Kind: AskStart}, Restoring, nil, next(ThenStart, false)},
		{"restart while it is restored", at(Restoring), Event{Kind: AskRestart}, Restoring, does(CallOff), next(ThenStart, false)},
		{"configured while it is restored", at(Restoring), Event{Kind: ConfigNew}, Restoring, nil, isRenewed},

		{"crash", at(Ready, running, wasReady), crash, Stopping, does(Kill), counts(1, CauseSignal)},
		{"refused connection", at(Ready), Event{Kind: Reported}, Suspect, does(Check), suspected(false, "it refused a connection")},
		{"silence", at(Ready), Event{Kind: Silent, End: End{Message: "not a word"}}, Suspect, does(Observe), suspected(true, "not a word")},
		{"stable", at(Ready, fruitless(3)), Event{Kind: TimeUp}, Ready, nil, func(t *testing.T, m Machine) {
			if m.Fruitless != 0 {
				t.Error("not forgiven")
			}
		}},
		{"stop", at(Ready), Event{Kind: AskStop}, Draining, toDrain, next(ThenStop, true)},
		{"restart", at(Ready), Event{Kind: AskRestart}, Draining, toDrain, next(ThenStart, false)},
		{"configured while ready", at(Ready), Event{Kind: ConfigNew}, Ready, nil, isRenewed},

		{"cleared", at(Suspect, fruitless(1)), Event{Kind: Answered}, Ready, []Effect{{Kind: Listen}, arm(testPolicy.Stable)}, suspected(false, "")},
		{"ready after it was hasty", at(Starting, running, hasty(1)), Event{Kind: Answered}, Ready, []Effect{{Kind: Listen}, arm(testPolicy.Stable)}, nil},
		{"gone, hasty for the first time", at(Stopping, hasty(1)), gone, Starting, does(Launch), nil},
		{"gone, hasty again", at(Stopping, hasty(3)), gone, Backoff, []Effect{arm(2 * testPolicy.Delay)}, startsAt(2 * testPolicy.Delay)},
		{"silent", at(Suspect, fruitless(1)), silent, Stopping, replace, counts(2, CauseUnresponsive)},
		{"suspect died", at(Suspect), crash, Stopping, does(Kill), counts(1, CauseSignal)},
		{"stop a suspect", at(Suspect), Event{Kind: AskStop}, Draining, toDrain, next(ThenStop, true)},
		{"restart a suspect", at(Suspect), Event{Kind: AskRestart}, Draining, toDrain, next(ThenStart, false)},
		{"configured while suspect", at(Suspect), Event{Kind: ConfigNew}, Suspect, nil, isRenewed},

		{"drained", at(Draining, then(ThenStop)), Event{Kind: Drained}, Stopping, toEnd, nil},
		{"drained long enough", at(Draining, then(ThenStop)), Event{Kind: TimeUp}, Stopping, toEnd, nil},
		{"died while draining", at(Draining, then(ThenStop)), crash, Stopping, does(Kill), counts(0, CauseSignal)},
		{"stop in place of restart", at(Draining, then(ThenStart)), Event{Kind: AskStop}, Draining, nil, next(ThenStop, true)},
		{"start after stop", at(Draining, then(ThenStop), asking), Event{Kind: AskStart}, Draining, nil, next(ThenStart, false)},
		{"restart after stop", at(Draining, then(ThenStop), asking), Event{Kind: AskRestart}, Draining, nil, next(ThenStart, false)},

		{"ended by the kill", at(Stopping, then(ThenStop), killingIt), crash, Stopping, nil, counts(0, CauseAsked)},
		{"ended as asked", at(Stopping, then(ThenStop)), crash, Stopping, does(Kill), counts(0, CauseAsked)},
		{"grace is over", at(Stopping, then(ThenStop)), Event{Kind: TimeUp}, Stopping, does(Kill), nil},
		{"kill failed", at(Stopping, killingIt), Event{Kind: NotGone}, Stopping, []Effect{arm(testPolicy.KillRetry)}, nil},
		{"gone, to stop", at(Stopping, then(ThenStop), asking, fruitless(2)), gone, Stopped, nil, next(ThenStop, true)},
		{"gone, to start", at(Stopping, then(ThenStart), fruitless(4)), gone, Starting, does(Launch), launches(0)},
		{"gone, with a new configuration", at(Stopping, newConfig, permanent, fruitless(5)), gone, Starting, does(Launch), launches(0)},
		{"gone, hopeless", at(Stopping, permanent, fruitless(1)), gone, Failed, nil, nil},
		{"gone, again", at(Stopping, lastOf(3), fruitless(2)), gone, Backoff, []Effect{arm(testPolicy.Delay)}, startsAt(testPolicy.Delay)},
		{"gone, once", at(Stopping, lastOf(3), fruitless(1)), gone, Starting, does(Launch), launches(1)},
		{"stop while clearing", at(Stopping), Event{Kind: AskStop}, Stopping, nil, next(ThenStop, true)},
		{"start while stopping", at(Stopping, then(ThenStop), asking), Event{Kind: AskStart}, Stopping, nil, next(ThenStart, false)},
		{"restart while stopping", at(Stopping, then(ThenStop), asking), Event{Kind: AskRestart}, Stopping, nil, next(ThenStart, false)},
		{"configured while clearing", at(Stopping), Event{Kind: ConfigNew}, Stopping, nil, isRenewed},

		{"pause is over", at(Backoff, fruitless(3)), Event{Kind: TimeUp}, Starting, does(Launch), launches(3)},
		{"start in a pause", at(Backoff, fruitless(3)), Event{Kind: AskStart}, Starting, does(Launch), launches(0)},
		{"restart in a pause", at(Backoff, fruitless(3)), Event{Kind: AskRestart}, Starting, does(Launch), launches(0)},
		{"configured in a pause", at(Backoff, fruitless(3)), Event{Kind: ConfigNew}, Starting, does(Launch), launches(0)},
		{"stop in a pause", at(Backoff), Event{Kind: AskStop}, Stopped, nil, next(ThenRetry, true)},

		{"another try", at(Failed, fruitless(5)), Event{Kind: TimeUp}, Starting, does(Launch), launches(4)},
		{"start of a failed one", at(Failed, fruitless(5)), Event{Kind: AskStart}, Starting, does(Launch), launches(0)},
		{"restart of a failed one", at(Failed, fruitless(5)), Event{Kind: AskRestart}, Starting, does(Launch), launches(0)},
		{"failed one configured", at(Failed, fruitless(5)), Event{Kind: ConfigNew}, Starting, does(Launch), launches(0)},
		{"stop of a failed one", at(Failed, fruitless(5)), Event{Kind: AskStop}, Stopped, nil, next(ThenRetry, true)},

		{"found in use, to be stopped", at(Stopped, asking), inUse, Draining, append(does(Watch), toDrain...), next(ThenStop, true)},
		{"found in use, no longer wanted", at(Starting, then(ThenStart)), inUse, Draining, append(does(Watch), toDrain...), next(ThenStart, false)},
		{"stop one in use", at(Starting, running, shared), Event{Kind: AskStop}, Draining, toDrain, next(ThenStop, true)},
		{"restart one in use", at(Starting, running, shared), Event{Kind: AskRestart}, Draining, toDrain, next(ThenStart, false)},
		{"lease lost for one in use", at(Starting, running, shared), lost, Draining, toDrain, next(ThenYield, false)},
		{"launched too late for the lease", at(Starting, then(ThenYield)), Event{Kind: Launched}, Stopping, append(does(Watch), toEnd...), next(ThenYield, false)},
		{"launch that is refused here", at(Starting, fruitless(2)), unowned, Failed, nil, counts(0, CauseOwnedElsewhere)},
		{"launch that is refused here, restoring", at(Restoring, fruitless(2)), unowned, Failed, nil, counts(0, CauseOwnedElsewhere)},
		{"lease lost while starting", at(Starting, running), lost, Stopping, toEnd, next(ThenYield, false)},
		{"lease lost before the launch", at(Starting), lost, Starting, does(CallOff), next(ThenYield, false)},
		{"lease lost while restoring", at(Restoring), lost, Restoring, does(CallOff), next(ThenYield, false)},
		{"lease lost", at(Ready), lost, Draining, toDrain, next(ThenYield, false)},
		{"lease lost for a suspect", at(Suspect), lost, Draining, toDrain, next(ThenYield, false)},
		{"lease lost before a restart", at(Draining, then(ThenStart)), lost, Draining, nil, next(ThenYield, false)},
		{"lease lost after a crash", at(Stopping), lost, Stopping, nil, next(ThenYield, false)},
		{"gone for want of the lease", at(Stopping, then(ThenYield), fruitless(2), func(m *Machine) { m.Yield = lost.End }), gone, Failed, nil, counts(0, CauseOwnerUnknown)},
		{"another reason", at(Failed, func(m *Machine) { m.Last = unowned.End }), lost, Failed, nil, counts(0, CauseOwnerUnknown)},
		{"lease held again", at(Failed, func(m *Machine) { m.Last = lost.End }), Event{Kind: LeaseHeld}, Starting, does(Launch), launches(0)},
	}
}

func isRenewed(t *testing.T, m Machine) {
	if !m.Renewed {
		t.Error("the new configuration is not kept in mind")
	}
}

// TestRules uses every rule, and fails when there is one that is not used.
func TestRules(t *testing.T) {
	used := make([]bool, len(rules))
	for _, r := range ruleRows() {
		t.Run(r.name, func(t *testing.T) {
			e, m := r.on, r.from
			e.At = t0
			if e.Generation == 0 {
				e.Generation = 3
			}
			e.Epoch = 7
			if i := m.fitting(e); i >= 0 {
				used[i] = true
			}
			do, ok := m.Next(e)
			if !ok || m.State != r.to || !slices.Equal(do, r.do) {
				t.Fatalf("%s --%s--> %s, %v (taken: %v); want %s, %v", r.from.State, e.Kind, m.State, do, ok, r.to, r.do)
			}
			if moved := m.State != r.from.State; moved != m.Since.Equal(t0) || moved && m.Epoch == 7 {
				t.Errorf("since %v, epoch %d after a change of state: %v", m.Since, m.Epoch, moved)
			}
			if r.also != nil {
				r.also(t, m)
			}
		})
	}
	for i, u := range used {
		if r := rules[i]; !u {
			t.Errorf("no row for rule %d: %s, %s", i, r.from, r.label())
		}
	}
}

// TestNoRule: an event without a rule for the state changes nothing.
func TestNoRule(t *testing.T) {
	for _, s := range States {
		for _, k := range eventKinds {
			if slices.ContainsFunc(rules, func(r rule) bool { return r.from == s && r.on == k }) {
				continue
			}
			m := at(s)
			before := m
			if do, ok := m.Next(Event{Kind: k, Generation: 3, Epoch: 7, At: t0}); ok || do != nil || !reflect.DeepEqual(m, before) {
				t.Errorf("%s in %s: taken %v, effects %v, machine %+v", k, s, ok, do, m)
			}
		}
	}
	m := at(Ready)
	before := m
	if _, ok := m.Next(Event{Kind: "unheard of", Generation: 3, Epoch: 7}); ok || !reflect.DeepEqual(m, before) {
		t.Error("an unknown event is of consequence")
	}
}

var eventKinds = []EventKind{
	Demand, AskStart, AskStop, AskRestart, ConfigNew, LeaseLost, LeaseHeld, Found, FoundDead, RestoreBegun, RestoreEnded, Launched, LaunchFailed,
	Answered, Unanswered, Reported, Silent, Exited, Drained, Gone, NotGone, TimeUp,
}

// TestDemandOfAStopped: a request does not start what a person has stopped.
func TestDemandOfAStopped(t *testing.T) {
	m := at(Stopped, asking)
	if _, ok := m.Next(Event{Kind: Demand}); ok || m.State != Stopped {
		t.Errorf("demand led to %s", m.State)
	}
}

// TestFruitlessCount: what is held against a gateway, and what is not.
func TestFruitlessCount(t *testing.T) {
	for _, c := range []struct {
		name string
		from Machine
		on   Event
		want int
	}{
		{"crash", at(Ready, fruitless(2), wasReady), crash, 3},
		{"crash after an answered request", at(Ready, fruitless(2), wasReady), useful, 0},
		{"meant to end, once ready", at(Ready, fruitless(2), wasReady), benign, 2},
		{"meant to end before it was ready", at(Starting, fruitless(2), running), benign, 3},
		{"failed launch, said to be benign", at(Starting, fruitless(2)), offDuty, 3},
	} {
		c.on.Generation, c.on.Epoch = 3, 7
		if _, ok := c.from.Next(c.on); !ok || c.from.Fruitless != c.want {
			t.Errorf("%s: fruitless %d (taken: %v), want %d", c.name, c.from.Fruitless, ok, c.want)
		}
	}
}

// TestRefusedIsNotRetried: no timer brings back what cannot be started, nor what
// the policy never retries.
func TestRefusedIsNotRetried(t *testing.T) {
	never := at(Starting, fruitless(4))
	never.Policy.RetryFailed = 0
	for _, c := range []struct {
		m Machine
		e Event
	}{{at(Starting), refused}, {never, noStart}} {
		c.e.Generation = 3
		do, _ := c.m.Next(c.e)
		if c.m.State != Failed || do != nil || !c.m.NextStart.IsZero() {
			t.Errorf("%s: effects %v, next start %v", c.m.State, do, c.m.NextStart)
		}
	}
}

// TestPause checks the length of pauses, and the bounds of their jitter.
func TestPause(t *testing.T) {
	p := Policy{Delay: 250 * time.Millisecond, MaxDelay: 30 * time.Second}
	for n, want := range map[int]time.Duration{
		0: 0, 1: 0, 2: 250 * time.Millisecond, 3: 500 * time.Millisecond, 4: time.Second,
		8: 16 * time.Second, 9: 30 * time.Second, 10: 30 * time.Second, 1000000: 30 * time.Second,
	} {
		if got := p.Pause(n, 0); got != want {
			t.Errorf("pause after %d: %v, want %v", n, got, want)
		}
		for _, roll := range []float64{0.1, 0.5, 0.999999} {
			if got := p.Pause(n, roll); got > want || got < want*3/4 {
				t.Errorf("pause after %d with roll %v: %v, want between %v and %v", n, roll, got, want*3/4, want)
			}
		}
	}
	if got := (Policy{Delay: time.Minute, MaxDelay: time.Second}).Pause(2, 0); got != time.Second {
		t.Errorf("a delay above the longest gives %v", got)
	}
}

// TestLeaseLostAndHeld: what must not run here stops, and starts again by itself
// when it may, without a person.
func TestLeaseLostAndHeld(t *testing.T) {
	why := End{Cause: CauseOwnedElsewhere, Message: "another machine has it"}
	m := at(Ready)
	for _, e := range []Event{
		{Kind: LeaseLost, End: why}, {Kind: Drained, Epoch: m.Epoch + 1}, {Kind: Exited, Generation: m.Generation, End: End{Cause: CauseSignal}},
		{Kind: Gone, Generation: m.Generation},
	} {
		if _, ok := m.Next(e); !ok {
			t.Fatalf("%v is of no consequence in %s", e, m.State)
		}
	}
	if m.State != Failed || m.Asked || m.Last.Cause != why.Cause || m.Fruitless != 0 {
		t.Fatalf("%+v", m)
	}
	if u := m.unavailable(); u == nil || u.Code != CodeOwnedElsewhere {
		t.Fatalf("%+v", u)
	}
	if effects, ok := m.Next(Event{Kind: LeaseHeld}); !ok || m.State != Starting || len(effects) != 1 || effects[0].Kind != Launch {
		t.Fatalf("%v %v %+v", effects, ok, m)
	}
	// A launch that is refused waits for the same, and is no failure.
	m.Fruitless = 2
	if _, ok := m.Next(Event{Kind: LaunchFailed, Generation: m.Generation, End: why}); !ok || m.State != Failed || m.Fruitless != 0 {
		t.Fatalf("%+v", m)
	}
	if _, ok := m.Next(Event{Kind: LeaseHeld}); !ok {
		t.Fatal("it does not start again")
	}
	// One that has failed for another reason is not started by the lease.
	m = at(Failed)
	m.Last = End{Cause: CauseExit}
	if _, ok := m.Next(Event{Kind: LeaseHeld}); ok {
		t.Fatal("the lease has started a gateway that has failed")
	}
}
