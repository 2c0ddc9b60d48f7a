package snapshot

import (
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

// reasons are those of the snapshots that were taken.
func (w *world) reasons() (list []store.Reason) {
	w.Store.mu.Lock()
	defer w.Store.mu.Unlock()
	for _, s := range w.Store.all {
		list = append(list, s.Reason)
	}
	return list
}

func (w *world) wantReasons(want ...store.Reason) {
	w.t.Helper()
	synctest.Wait()
	got := w.reasons()
	if len(got) != len(want) {
		w.t.Fatalf("at %v: got %v, want %v", time.Now(), got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			w.t.Fatalf("at %v: got %v, want %v", time.Now(), got, want)
		}
	}
}

func TestRunOnItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := ready(t, 3, "one")
		stop := w.run(k)
		defer stop()
		time.Sleep(59 * time.Second)
		w.wantReasons()
		time.Sleep(2 * time.Second) // it has been quiet for a minute
		w.wantReasons(store.OnChange)
		time.Sleep(time.Hour) // nothing changes
		w.wantReasons(store.OnChange)
		for i := range 16 * 3 { // it never comes to rest
			w.write(3, string(rune('a'+i)))
			time.Sleep(20 * time.Second)
		}
		w.wantReasons(store.OnChange, store.OnInterval)
		w.Sup.state(gateway.Stopped) // what it has left is saved at once
		w.wantReasons(store.OnChange, store.OnInterval, store.OnStop)
		time.Sleep(time.Hour)
		w.wantReasons(store.OnChange, store.OnInterval, store.OnStop)
	})
}

// TestRunWaitsForTheLook: until creel has looked whether an earlier one has left the
// gateway running, it only seems to have stopped, and nothing is saved for that.
func TestRunWaitsForTheLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := ready(t, 3, "one")
		w.Sup.unseen = make(chan struct{})
		w.Sup.state(gateway.Stopped)
		defer w.run(k)()
		time.Sleep(10 * time.Second)
		w.wantReasons()
		w.Sup.state(gateway.Ready)
		close(w.Sup.unseen)
		time.Sleep(2 * time.Minute)
		w.wantReasons(store.OnChange)
	})
}

// TestRunRetries: after a failure it is tried again, ever more rarely, and a change
// that is unsaved for too long is told of until it is saved.
func TestRunRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, k := ready(t, 3, "one")
		w.Store.fail("save", errDown)
		defer w.run(k)()
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		w.Store.mu.Lock()
		saves := 0
		for _, c := range w.Store.calls {
			if c == "save" {
				saves++
			}
		}
		w.Store.mu.Unlock()
		if saves < 3 || saves > 6 {
			t.Errorf("%d attempts in half an hour", saves)
		}
		if w.troubled(TroubleOverdue) != "" {
			t.Error("overdue already")
		}
		time.Sleep(45 * time.Minute)
		synctest.Wait()
		if w.troubled(TroubleOverdue) == "" || w.troubled(TroubleStore) == "" {
			t.Errorf("%v", w.Trouble)
		}
		w.Store.fail("save", nil)
		time.Sleep(31 * time.Minute)
		w.wantReasons(store.OnInterval)
		if len(w.Trouble) != 0 {
			t.Errorf("%v", w.Trouble)
		}
	})
}

// TestRunRestsWhenThereIsNothingToDo: whatever state the gateway is in, and whether
// snapshots are taken by themselves, Run looks a few times a minute at most.
func TestRunRestsWhenThereIsNothingToDo(t *testing.T) {
	for _, manual := range []bool{false, true} {
		for _, state := range gateway.States {
			t.Run(string(state), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.Set = func(o *Options) { o.Manual = manual }
					w.write(1, "one")
					k := w.keeper()
					must(t, w.prepare(k, 1, gateway.End{}))
					w.Sup.state(state)
					looks := 0
					k.opts.Supervisor = counting{w.Sup, &looks}
					defer w.run(k)()
					time.Sleep(10 * time.Minute)
					synctest.Wait()
					if looks > 100 {
						t.Errorf("%d looks in ten minutes", looks)
					}
				})
			})
		}
	}
}

type counting struct {
	*supervisor
	looks *int
}

func (c counting) Status() gateway.Status {
	*c.looks++
	return c.supervisor.Status()
}

// TestTrialEndsDuringUpload: an instance that gets ready while a snapshot takes its
// time ends the trial at once.
func TestTrialEndsDuringUpload(t *testing.T) {
	w, k, s := two(t)
	uploading, release := make(chan struct{}), make(chan struct{})
	w.Store.check = func(method string) {
		if method == "save" {
			close(uploading)
			<-release
		}
	}
	w.run(k)
	created := make(chan error)
	go func() {
		_, err := k.Create(t.Context(), Request{})
		created <- err
	}()
	<-uploading
	if _, err := k.Restore(t.Context(), RestoreRequest{ID: s.ID, NoSnapshot: true}); err != nil || w.says() != "one" {
		t.Errorf("%v; the state says %q", err, w.says())
	}
	close(release)
	must(t, <-created)
	w.settled(k, s) // what was saved meanwhile is not what is there now
}
