package chaos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"creel/internal/api"
	"creel/internal/crashpoint"
	"creel/internal/gateway"
	"creel/internal/runtime/process"
	"creel/test/harness"
)

// scenario is something that happens to a creel whose gateway is ready. In the
// end it is ready again.
type scenario struct {
	name string
	// prepare is what comes before it: nobody dies yet. It may change the round's
	// status of before. nil: nothing.
	prepare func(w *world, r *round)
	// act begins it, and waits for what can be waited for. It may fail if there
	// are deaths.
	act func(w *world, r *round) error
	// over tells whether it has come to its end, beyond the gateway being ready;
	// it is asked only if no creel has died in it. nil: act waits.
	over func(w *world, before, now api.Status) bool
	// ends tells that it ends the instance.
	ends bool
	// codes are the problems that clients may be told of.
	codes []string
	// unwatched tells that a creel may drain while no other is in charge, since that
	// one was killed. It does not hear of the instance's end in time then: its clients
	// are told that the gateway broke the connection, not that it crashed.
	unwatched bool
	// deaths are its own.
	deaths []death
}

// nextGeneration is an over.
func nextGeneration(_ *world, before, now api.Status) bool { return now.Generation > before.Generation }

var stopCodes = []string{string(gateway.CodeStopped), string(gateway.CodeStopping), string(gateway.CodeShuttingDown)}

var scenarios = []scenario{
	{name: "crash", ends: true, over: nextGeneration, act: func(_ *world, r *round) error {
		return syscall.Kill(r.before.PID, syscall.SIGKILL)
	}},
	{name: "restart", ends: true, over: nextGeneration, act: func(w *world, _ *round) error {
		return w.ask("restart")
	}},
	{name: "stop and start", ends: true, over: nextGeneration, codes: stopCodes, act: (*world).stopAndStart},
	{name: "creel killed", act: func(w *world, r *round) error {
		w.killCreel(r)
		return nil
	}},
	{name: "both killed", ends: true, over: nextGeneration, act: func(w *world, r *round) error {
		w.killCreel(r)
		return syscall.Kill(r.before.PID, syscall.SIGKILL)
	}},
	{name: "creel ends", ends: true, codes: stopCodes, act: func(w *world, r *round) error {
		r.away(now())
		if err := syscall.Kill(r.before.Creel.PID, syscall.SIGTERM); err != nil {
			return err
		}
		w.await("creel's end", func() error { return stillThere(w, r.before.Creel.PID) })
		return nil
	}},
	{name: "upgrade", act: func(w *world, _ *round) error { return w.ask("upgrade") }},
	{name: "upgrade fails", deaths: []death{{crashpoint.UpgradeSigned, roleNew, 1, victimCreel}}, act: func(w *world, r *round) error {
		if err := w.ask("upgrade"); err == nil {
			return fmt.Errorf("the upgrade has not failed")
		}
		st, err := w.Status()
		if err == nil && st.Creel.PID != r.before.Creel.PID {
			err = fmt.Errorf("creel was pid %d and is pid %d", r.before.Creel.PID, st.Creel.PID)
		}
		return err
	}},
	{name: "record refused", ends: true, over: nextGeneration, act: (*world).spoilRecord},
	{name: "log rotated", act: (*world).fillLog},
}

func stillThere(w *world, pid int) error {
	if _, there := processes(w.Dir)[pid]; there {
		return fmt.Errorf("process %d is still there", pid)
	}
	return nil
}

// killCreel kills creel with SIGKILL and waits for its end.
func (w *world) killCreel(r *round) {
	r.away(now())
	_ = syscall.Kill(r.before.Creel.PID, syscall.SIGKILL) // it is there: the world was steady
	w.awaitWithout("creel's end", func() error { return stillThere(w, r.before.Creel.PID) })
}

// stopAndStart has creel told to stop the gateway, which must outlast creel once
// it was acknowledged, and to start it again.
func (w *world) stopAndStart(r *round) error {
	err := w.ask("stop?wait=30s")
	if err == nil {
		w.await("the stopped gateway", func() error {
			st, err := w.Status()
			if err == nil && (st.State != gateway.Stopped || !st.StopAsked) {
				w.fatalf("it was stopped, and is %s", st.State)
			}
			return err
		})
	}
	w.await("somebody to be told to start", func() error { return w.ask("start") })
	return err
}

// spoilRecord leaves a creel that starts a record that it cannot trust.
func (w *world) spoilRecord(r *round) error {
	w.killCreel(r)
	w.aside++
	path := filepath.Join(w.DataDir(), "gateways", "chaos", "instance.json")
	return os.WriteFile(path, []byte(`{"version":1,`), 0o600)
}

// fillLog has the gateway's output outgrow its limit, and waits until it was
// rotated.
func (w *world) fillLog(r *round) error {
	path := process.LogPath(filepath.Join(w.DataDir(), "gateways", "chaos"))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	line := append(bytes.Repeat([]byte("x"), 1<<16-1), '\n')
	for n := int64(0); n < process.DefaultLogMaxBytes; n += int64(len(line)) {
		if _, err := f.Write(line); err != nil {
			return err
		}
	}
	w.await("the log to be rotated", func() error {
		info, err := f.Stat()
		if err == nil && info.Size() >= process.DefaultLogMaxBytes {
			err = fmt.Errorf("it has %d bytes", info.Size())
		}
		return err
	})
	return nil
}

// awaitWithout is await without the loop that starts creel again.
func (w *world) awaitWithout(what string, holds func() error) {
	w.T.Helper()
	harness.Poll(w.T, what, func() bool { return holds() == nil }, w.Output.String)
}
