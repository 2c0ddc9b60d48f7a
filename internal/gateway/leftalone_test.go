package gateway

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestLeftAlone: who asks a supervisor that was left gets an error, and nothing is
// written: the intent is another creel's by then.
func TestLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t)).run()
		r.wants(Ready)
		r.Leave()
		if err := os.WriteFile(r.opts.IntentPath, []byte("another creel's"), 0o600); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			for _, err := range []error{r.Stop(t.Context()), r.Start(t.Context()), r.Restart(t.Context())} {
				if !errors.Is(err, errClosed) {
					t.Fatalf("got %v, want errClosed", err)
				}
			}
		}
		if b, err := os.ReadFile(r.opts.IntentPath); err != nil || string(b) != "another creel's" {
			t.Errorf("the intent of the next creel has become %q, %v", b, err)
		}
	})
}

// TestLeaveWhileADiskHangs: that something which was asked for cannot be written down is
// no reason not to end, and it is not done later.
func TestLeaveWhileADiskHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, keepsIntent(t)).run()
		r.wants(Ready)
		r.turn <- struct{}{} // as somebody has it whose fsync does not return
		begun := time.Now()
		r.Leave()
		if took := time.Since(begun); took != turnTime {
			t.Errorf("it has taken %v", took)
		}
		<-r.turn
		for range 50 { // the turn is free, and so is the way that says that it is over
			if err := r.Stop(t.Context()); !errors.Is(err, errClosed) {
				t.Fatalf("got %v, want errClosed", err)
			}
		}
		if r.intent.get().Stopped {
			t.Error("it was written down all the same")
		}
	})
}
