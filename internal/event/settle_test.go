package event

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// TestSettle: who has waited finds in the file what was recorded before. Nobody waits
// for what cannot get there.
func TestSettle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		j, err := Open(Options{Dir: dir, openFile: d.open})
		if err != nil {
			t.Fatal(err)
		}
		j.Settle(t.Context()) // there is nothing to wait for
		wait := func(ctx context.Context) <-chan struct{} {
			over := make(chan struct{})
			go func() { defer close(over); j.Settle(ctx) }()
			synctest.Wait()
			return over
		}
		isOver := func(c <-chan struct{}) bool {
			synctest.Wait()
			return isClosed(c)
		}

		block := make(chan struct{})
		d.set(func() { d.block = block })
		j.Record(Event{Kind: Ready, Message: "the first"})
		first := wait(t.Context())
		j.Record(Event{Kind: Ready, Message: "the second"})
		ctx, cancel := context.WithCancel(t.Context())
		impatient := wait(ctx)
		if isOver(first) || isOver(impatient) {
			t.Error("it does not wait for a write")
		}
		cancel()
		if !isOver(impatient) {
			t.Error("it waits longer than its context")
		}
		d.set(func() { d.block = nil })
		close(block)
		<-first
		if text, err := os.ReadFile(filepath.Join(dir, active)); err != nil || !strings.Contains(string(text), "the first") {
			t.Errorf("the file has %s, %v", text, err)
		}

		d.set(func() { d.room, d.err = 0, syscall.ENOSPC })
		j.Record(Event{Kind: Ready, Message: "the third"})
		if j.Settle(t.Context()); !errors.Is(j.Health(), syscall.ENOSPC) {
			t.Errorf("it ended, and health is %v", j.Health())
		}
		d.set(func() { d.room, d.err = -1, nil })
		if err := j.Close(t.Context()); err != nil {
			t.Error(err)
		}
		j.Settle(t.Context()) // after the end there is nothing to wait for either
	})
}
