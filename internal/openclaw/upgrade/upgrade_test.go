package upgrade

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a supervisor and a keeper that behave by script: what comes of an
// instance is what script says for its version.
type world struct {
	t      *testing.T
	layout openclaw.Layout
	script func(version string, nth int) gateway.Status // State and LastEnd.Cause count

	mu       sync.Mutex
	status   gateway.Status
	changed  chan struct{}
	launches []string // versions
	nth      map[string]int
	turn     int

	launching sync.WaitGroup
	done      []string // what the keeper was asked for
	list      []store.Snapshot
	fails     map[string]error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	l, err := openclaw.LayoutIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, layout: l, changed: make(chan struct{}), nth: map[string]int{}, fails: map[string]error{}}
	w.script = func(string, int) gateway.Status { return gateway.Status{State: gateway.Ready} }
	w.status = gateway.Status{State: gateway.Ready, Generation: 7, PID: 1}
	t.Cleanup(w.launching.Wait)
	return w
}

func (w *world) upgrader() *Upgrader {
	return New(Options{
		Layout: w.layout, Gateway: w, Keeper: w, Configured: func() string { return "1" },
		Install: func(context.Context, string) error { return w.fails["install"] },
	})
}

func (w *world) set(st gateway.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status = st
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) Status() gateway.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func (w *world) WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error) {
	for {
		w.mu.Lock()
		st, changed := w.status, w.changed
		w.mu.Unlock()
		if holds(st) {
			return st, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return st, context.Cause(ctx)
		}
	}
}

// Restart begins to launch instances, until one does not end.
func (w *world) Restart(context.Context) error {
	if err := w.fails["restart"]; err != nil {
		return err
	}
	w.mu.Lock()
	turn := w.turn + 1
	w.turn = turn
	w.mu.Unlock()
	w.launching.Go(func() { w.launch(turn) })
	return nil
}

// launch launches for as long as nobody has asked for another restart.
func (w *world) launch(turn int) {
	for range 4 {
		version := w.record().Effective("1")
		w.mu.Lock()
		if w.turn != turn {
			w.mu.Unlock()
			return
		}
		w.launches = append(w.launches, version)
		w.nth[version]++
		st := w.script(version, w.nth[version])
		st.Generation = w.status.Generation + 1
		w.mu.Unlock()
		if st.LastEnd != nil {
			st.LastEnd.Generation, st.LastEnd.At = st.Generation, time.Now()
		}
		st.PID = 1
		w.set(st)
		if st.State != gateway.Backoff {
			return
		}
		time.Sleep(time.Second)
	}
}

func (w *world) Create(_ context.Context, r snapshot.Request) (store.Snapshot, error) {
	if err := w.fails["create"]; err != nil {
		return store.Snapshot{}, err
	}
	var s store.Snapshot
	s.ID, s.Reason, s.Time, s.AppVersion = "explicit", r.Reason, time.Now(), "1"
	later := s
	later.ID, later.Time = "of-the-launch", s.Time.Add(time.Minute)
	other := later
	other.ID, other.AppVersion = "of-another", "2"
	w.list = append(w.list, s, later, other)
	w.done = append(w.done, "create")
	return s, nil
}

func (w *world) List(context.Context) ([]store.Snapshot, error) { return w.list, w.fails["list"] }

func (w *world) Restore(ctx context.Context, r snapshot.RestoreRequest) (snapshot.Restored, error) {
	w.done = append(w.done, "restore "+string(r.ID))
	if err := w.fails["restore"]; err != nil {
		return snapshot.Restored{}, err
	}
	before := w.Status().Generation
	if err := w.Restart(ctx); err != nil {
		return snapshot.Restored{}, err
	}
	_, err := w.WaitFor(ctx, func(st gateway.Status) bool { return st.Generation > before })
	return snapshot.Restored{ID: r.ID}, err
}

func ends(state gateway.State, cause gateway.Cause) gateway.Status {
	return gateway.Status{State: state, Reason: "given up", LastEnd: &gateway.End{Cause: cause, Message: "it ended: " + string(cause)}}
}

// run upgrades to "2" and gives the steps.
func (w *world) run(u *Upgrader) (report openclaw.UpgradeReport, steps []string, err error) {
	report, err = u.Upgrade(w.t.Context(), Request{Version: "2"}, func(s Step) { steps = append(steps, s.Step) })
	return report, steps, err
}

func (w *world) record() openclaw.VersionRecord {
	w.t.Helper()
	r, err := openclaw.ReadVersionRecord(w.layout)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func TestVerdicts(t *testing.T) {
	ready := gateway.Status{State: gateway.Ready}
	backoff := ends(gateway.Backoff, gateway.CauseExit)
	for name, test := range map[string]struct {
		script func(nth int) gateway.Status
		ok     bool
		reason string
	}{
		"works":                 {func(int) gateway.Status { return ready }, true, ""},
		"ends once, then works": {func(n int) gateway.Status { return []gateway.Status{backoff, ready}[min(n-1, 1)] }, true, ""},
		"ends twice":            {func(int) gateway.Status { return ends(gateway.Backoff, gateway.CauseExit) }, false, "it ended: exit_code"},
		"is not ready once": {func(n int) gateway.Status {
			return []gateway.Status{ends(gateway.Backoff, gateway.CauseNotReady), ready}[min(n-1, 1)]
		}, false, "it ended: not_ready"},
		"is given up": {func(int) gateway.Status { return ends(gateway.Failed, gateway.CauseConfigRefused) }, false, "it ended: config_refused"},
		"was asked to end, somebody": {func(n int) gateway.Status {
			return []gateway.Status{ends(gateway.Backoff, gateway.CauseAsked), ends(gateway.Backoff, gateway.CausePortTaken), ready}[min(n-1, 2)]
		}, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.script = func(version string, nth int) gateway.Status {
					if version == "2" {
						return test.script(nth)
					}
					return ready
				}
				report, steps, err := w.run(w.upgrader())
				if err != nil || report.OK != test.ok || report.Reason != test.reason {
					t.Fatalf("report %+v, %v", report, err)
				}
				r := w.record()
				if r.Trial != nil || r.Last == nil || r.Last.OK != test.ok || (r.Effective("1") == "2") != test.ok {
					t.Errorf("record %+v", r)
				}
				if restored := slices.Contains(w.done, "restore of-the-launch"); restored == test.ok {
					t.Errorf("the keeper was asked for %v", w.done)
				}
				if last := steps[len(steps)-1]; last != map[bool]string{true: Done, false: RolledBack}[test.ok] {
					t.Errorf("steps %v", steps)
				}
			})
		})
	}
}

// One that falls within its trial is rolled back, one that falls later is not.
func TestStaysWell(t *testing.T) {
	for after, ok := range map[time.Duration]bool{DefaultHealthy - time.Second: false, DefaultHealthy + time.Second: true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.launching.Go(func() {
				for range 2 {
					time.Sleep(after)
					st := ends(gateway.Backoff, gateway.CauseSignal)
					st.Generation = w.Status().Generation
					st.LastEnd.Generation, st.LastEnd.At = st.Generation, time.Now()
					if v := w.record().Effective("1"); v != "2" || w.record().Trial == nil {
						return
					}
					w.set(st)
					synctest.Wait()
					w.set(gateway.Status{State: gateway.Ready, Generation: st.Generation + 1, LastEnd: st.LastEnd})
				}
			})
			report, _, err := w.run(w.upgrader())
			if err != nil || report.OK != ok {
				t.Errorf("down after %v: %+v, %v", after, report, err)
			}
			w.launching.Wait()
		})
	}
}

// What never comes to an end is ended.
func TestTrialIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.script = func(version string, _ int) gateway.Status {
			return gateway.Status{State: map[bool]gateway.State{true: gateway.Starting, false: gateway.Ready}[version == "2"], Reason: "running, but not ready yet"}
		}
		report, _, err := w.run(w.upgrader())
		if err != nil || report.OK || report.Took != DefaultMost || !strings.Contains(report.Reason, "not ready yet") {
			t.Errorf("report %+v, %v", report, err)
		}
	})
}

// Nothing is changed by what is not begun.
func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		change func(w *world, o *Options)
		want   string
	}{
		"stopped":      {func(w *world, _ *Options) { w.status.StopAsked = true }, "creel start"},
		"no snapshots": {func(_ *world, o *Options) { o.Keeper = nil }, "--no-snapshot"},
		"same":         {func(_ *world, o *Options) { o.Configured = func() string { return "2" } }, "is the one that runs"},
		"install":      {func(w *world, _ *Options) { w.fails["install"] = errors.New("no such version") }, "no such version"},
		"snapshot":     {func(w *world, _ *Options) { w.fails["create"] = errors.New("the store is full") }, "the store is full"},
		"restart":      {func(w *world, _ *Options) { w.fails["restart"] = errors.New("the disk is full") }, "the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			u := w.upgrader()
			test.change(w, &u.opts)
			_, _, err := w.run(u)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Upgrade: %v", err)
			}
			if r := w.record(); r.Trial != nil || r.Version != "" || len(w.launches) != 0 {
				t.Errorf("record %+v, launches %v", r, w.launches)
			}
		})
	}
}

// A way back that fails is told, and what is to run is the old version.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.script = func(string, int) gateway.Status { return ends(gateway.Failed, gateway.CauseExit) }
		w.fails["restore"] = errors.New("the store is gone")
		_, steps, err := w.run(w.upgrader())
		if err == nil || !strings.Contains(err.Error(), "the store is gone") || !strings.Contains(err.Error(), "exit_code") || steps[len(steps)-1] != Stuck {
			t.Errorf("Upgrade: %v, %v", steps, err)
		}
		if r := w.record(); r.Trial != nil || r.Effective("1") != "1" {
			t.Errorf("record %+v", r)
		}
	})
}

// Whatever instant creel was killed at, Resume brings the upgrade to its end.
func TestResume(t *testing.T) {
	trial := func(phase string) *openclaw.Trial {
		return &openclaw.Trial{From: "1", To: "2", Phase: phase, Configured: "1", Generation: 7, Started: time.Now().UTC(), Snapshot: "explicit", Reason: "it ended"}
	}
	for name, test := range map[string]struct {
		trial  *openclaw.Trial
		found  gateway.Status
		works  bool
		starts string // versions that are launched
		used   string
		asked  string
	}{
		"nothing":                          {nil, gateway.Status{State: gateway.Ready, Generation: 9, PID: 1}, true, "", "1", ""},
		"the old one still runs":           {trial(openclaw.Trying), gateway.Status{State: gateway.Ready, Generation: 7, PID: 1}, true, "2", "2", ""},
		"the old one had ended":            {trial(openclaw.Trying), gateway.Status{State: gateway.Ready, Generation: 8, PID: 1}, true, "", "2", ""},
		"the new one has failed":           {trial(openclaw.Trying), gateway.Status{State: gateway.Failed, Generation: 8, Reason: "given up"}, false, "1", "1", "restore explicit"},
		"on its way back":                  {trial(openclaw.RollingBack), gateway.Status{State: gateway.Ready, Generation: 9, PID: 1}, true, "1", "1", "restore explicit"},
		"on its way back, without a state": {func() *openclaw.Trial { t := trial(openclaw.RollingBack); t.Snapshot = ""; return t }(), gateway.Status{State: gateway.Starting, Generation: 9, PID: 1}, true, "1", "1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.status = test.found
				w.script = func(version string, _ int) gateway.Status {
					if version == "2" && !test.works {
						return ends(gateway.Failed, gateway.CauseExit)
					}
					return gateway.Status{State: gateway.Ready}
				}
				if err := (openclaw.VersionRecord{Trial: test.trial}).Write(w.layout); err != nil {
					t.Fatal(err)
				}
				if err := w.upgrader().Resume(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(w.launches, " "); got != test.starts {
					t.Errorf("launched %q; want %q", got, test.starts)
				}
				if got := strings.Join(w.done, ", "); got != test.asked {
					t.Errorf("the keeper was asked for %q; want %q", got, test.asked)
				}
				r := w.record()
				if r.Trial != nil || r.Effective("1") != test.used || test.trial != nil && r.Last == nil {
					t.Errorf("record %+v", r)
				}
			})
		})
	}
}

// An upgrade that its creel cannot bring to its end is left for the next one.
func TestCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, kill := context.WithCancel(t.Context())
		_, err := w.upgrader().Upgrade(ctx, Request{Version: "2"}, func(s Step) {
			if s.Step == Watching {
				kill()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Upgrade: %v", err)
		}
		if r := w.record(); r.Trial == nil || r.Trial.Phase != openclaw.Trying || r.Effective("1") != "2" {
			t.Errorf("record %+v", r)
		}
		if _, _, err := w.run(w.upgrader()); err == nil || !strings.Contains(err.Error(), "cut short") {
			t.Errorf("another upgrade: %v", err)
		}
		if err := w.upgrader().Resume(t.Context()); err != nil || w.record().Effective("1") != "2" || w.record().Trial != nil {
			t.Errorf("Resume: %v, %+v", err, w.record())
		}
	})
}

// A person's stop is no failure, however long it lasts, and outranks an upgrade: nothing
// is started before that person has it started.
func TestStoppedMeanwhile(t *testing.T) {
	for name, works := range map[string]bool{"works": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.script = func(version string, nth int) gateway.Status {
					switch {
					case version == "2" && nth == 1:
						st := ends(gateway.Stopped, gateway.CauseAsked)
						st.StopAsked = true
						return st
					case version == "2" && !works:
						return ends(gateway.Failed, gateway.CauseExit)
					}
					return gateway.Status{State: gateway.Ready}
				}
				w.launching.Go(func() {
					time.Sleep(2 * DefaultMost)
					synctest.Wait() // whatever was to be begun has begun
					if r := w.record(); r.Trial == nil || r.Trial.Phase != openclaw.Trying || len(w.launches) != 1 || len(w.done) != 1 {
						t.Errorf("while it is stopped: %+v, launches %v, the keeper was asked for %v", r.Trial, w.launches, w.done)
						return
					}
					if err := w.Restart(t.Context()); err != nil { // creel start
						t.Error(err)
					}
				})
				if report, _, err := w.run(w.upgrader()); err != nil || report.OK != works {
					t.Errorf("%+v, %v", report, err)
				}
			})
		})
	}
	t.Run("on its way back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.status = gateway.Status{State: gateway.Stopped, StopAsked: true, Generation: 8}
			trial := &openclaw.Trial{From: "1", To: "2", Phase: openclaw.RollingBack, Configured: "1", Generation: 7, Started: time.Now().UTC(), Reason: "it ended"}
			if err := (openclaw.VersionRecord{Trial: trial}).Write(w.layout); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- w.upgrader().Resume(t.Context()) }()
			time.Sleep(time.Hour)
			synctest.Wait()
			if len(w.launches) != 0 {
				t.Errorf("a gateway that a person has stopped is started: %v", w.launches)
			}
			if err := w.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil || w.record().Trial != nil || w.record().Effective("1") != "1" {
				t.Errorf("%v, %+v", err, w.record())
			}
		})
	})
}

// A person who stops the gateway while the new version is being installed has the last
// word, too.
func TestStoppedWhileInstalling(t *testing.T) {
	w := newWorld(t)
	u := w.upgrader()
	u.opts.Install = func(context.Context, string) error {
		w.set(gateway.Status{State: gateway.Stopped, StopAsked: true, Generation: 7})
		return nil
	}
	_, _, err := w.run(u)
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Code != CodeStopped {
		t.Errorf("Upgrade: %v", err)
	}
	if r := w.record(); r.Trial != nil || len(w.launches) != 0 {
		t.Errorf("record %+v, launches %v", r, w.launches)
	}
}
