package gateway

import (
	"errors"
	"os"
	"testing"
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
