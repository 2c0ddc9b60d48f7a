package daemon

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestHearOut: an engine is not left before the creel that has handed over has said what it
// has, but for one that does not say it in time, or when creel is to end.
func TestHearOut(t *testing.T) {
	hear := func(ctx context.Context, elsewhere <-chan struct{}) (done chan struct{}) {
		d := &daemon{log: slog.New(slog.DiscardHandler), engine: &engine{elsewhere: elsewhere}}
		done = make(chan struct{})
		go func() { defer close(done); d.hearOut(ctx) }()
		return done
	}
	goesOn := func(done chan struct{}) bool {
		synctest.Wait()
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	synctest.Test(t, func(t *testing.T) {
		if !goesOn(hear(t.Context(), nil)) {
			t.Error("nobody has handed over, and is waited for")
		}
		said := make(chan struct{})
		done := hear(t.Context(), said)
		if goesOn(done) {
			t.Error("what it has is not waited for")
		}
		close(said)
		if !goesOn(done) {
			t.Error("it is waited for when it has said all")
		}
		ctx, cancel := context.WithCancel(t.Context())
		done = hear(ctx, make(chan struct{}))
		cancel()
		if !goesOn(done) {
			t.Error("it is waited for though creel is to end")
		}
		began := time.Now()
		<-hear(t.Context(), make(chan struct{}))
		if took := time.Since(began); took != declareTime {
			t.Errorf("it was waited for for %v", took)
		}
	})
}
