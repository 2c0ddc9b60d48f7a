package snapshot

import (
	"os"
	"testing"

	"creel/internal/gateway"
	"creel/internal/snapshot/store"
)

// TestOrFreshAnswersWhenReady: a gateway that begins without a state is ready when
// the answer comes, as with any restore.
func TestOrFreshAnswersWhenReady(t *testing.T) {
	w, k, _ := lost(t)
	w.Store.fail("list", errDown)
	refused(t, w.prepare(k, 2, gateway.End{}), false)
	w.Sup.become(func(st *gateway.Status) { st.State, st.Generation = gateway.Failed, 2 })
	booting, boot := make(chan struct{}), make(chan struct{})
	w.Sup.boot = func(uint64) gateway.Cause { close(booting); <-boot; return "" }
	w.run(k)
	answered := make(chan error)
	go func() {
		_, err := k.Restore(t.Context(), RestoreRequest{OrFresh: true})
		if err == nil && !w.Sup.Status().Ready() {
			t.Error("the answer came before the gateway was ready")
		}
		answered <- err
	}()
	<-booting
	eventually(t, "the state to have begun", func() bool { return k.record.get().Wish == nil })
	close(boot)
	must(t, <-answered)
	if r := k.record.get(); r.Began != began.fresh || r.Trial != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAnswerIsOfTheRestoreAskedFor: that an earlier restore has come to a good end
// meanwhile says nothing of the one that is waited for.
func TestAnswerIsOfTheRestoreAskedFor(t *testing.T) {
	w, k, s := two(t)
	must(t, k.record.change(func(r *record) { r.Wish = &wish{ID: s.ID} }))
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	k.Ready(2) // it is proved, and nobody has taken note of that
	w.Sup.become(func(st *gateway.Status) { st.State, st.Generation, st.PID = gateway.Ready, 2, 1 })
	answer, err := k.await()
	must(t, err)
	must(t, k.prove()) // as Run does, at any moment
	must(t, k.wish(&wish{Fresh: true, Generation: 2}, answer))
	select {
	case o := <-answer:
		t.Errorf("answered: %+v", o)
	default:
	}
	// The same while the wish is there already.
	must(t, k.record.change(func(r *record) { r.Trial, r.Put = 2, s.ID }))
	must(t, k.prove())
	select {
	case o := <-answer:
		t.Errorf("answered: %+v", o)
	default:
	}
	k.stopAwaiting()
}

// TestEmptyIsNotMissing: a state that was empty when it was saved is launched, and
// saved, as it is.
func TestEmptyIsNotMissing(t *testing.T) {
	w := newWorld(t)
	must(t, os.MkdirAll(w.State, 0o755))
	k := w.keeper()
	must(t, w.prepare(k, 1, gateway.End{}))
	s := w.take(k)
	if s.Totals.Files != 0 {
		t.Fatalf("%+v", s)
	}
	must(t, w.prepare(k, 2, gateway.End{Generation: 1, Cause: gateway.CauseAsked}))
	w.take(k)
	if st := k.Status(); st.Missing || k.record.get().Lineage != s.Lineage {
		t.Errorf("%+v", st)
	}
	// One that had files is missing when they are gone, as ever.
	w.write(2, "one")
	w.take(k)
	must(t, os.RemoveAll(w.State))
	if _, err := k.Create(t.Context(), Request{Reason: store.OnChange}); err == nil {
		t.Error("a state that is missing was saved")
	}
	must(t, w.prepare(k, 3, gateway.End{Generation: 2, Cause: gateway.CauseAsked}))
	if w.says() != "one" {
		t.Errorf("the state says %q", w.says())
	}
}
