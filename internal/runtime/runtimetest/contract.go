package runtimetest

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"creel/internal/runtime"
)

func testStart(t *testing.T, h Harness) {
	o := open(t, h)
	spec := o.spec(t, appServe)
	i := o.start(t, spec)
	rec := i.Record()
	if rec.Gateway != spec.Gateway || rec.Generation != spec.Generation || rec.Port != spec.Port ||
		rec.ConfigHash != spec.ConfigHash || !slices.Equal(rec.Command, spec.Command) {
		t.Errorf("record %+v does not match spec %+v", rec, spec)
	}
	select {
	case <-i.Done():
		t.Error("Done is closed while the app runs")
	default:
	}
	if exit := i.Exit(); exit != (runtime.Exit{}) {
		t.Errorf("Exit of a running app: %+v", exit)
	}
}

func testEnvironment(t *testing.T, h Harness) {
	t.Setenv("CREEL_ONLY", "creel's own variable")
	o := open(t, h)
	spec := o.spec(t, appServe)
	spec.Env = append(spec.Env, "EMPTY=", "BLANKS=a b  c", "EQUALS=a=b=c", "LINES=a\nb", "UTF8=käse")
	i := o.start(t, spec)
	want := slices.Sorted(slices.Values(spec.Env))
	if got := Ask(t, i.Addr()).Env; !slices.Equal(got, want) {
		t.Errorf("environment:\n got %q\nwant %q", got, want)
	}
}

func testInheritsNothing(t *testing.T, h Harness) {
	// A descriptor without FD_CLOEXEC, as creel may have got from whoever
	// started it.
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[0])
	defer syscall.Close(pipe[1])
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	info := Ask(t, i.Addr())
	if len(info.FDs) > 0 {
		t.Errorf("open descriptors besides 0, 1 and 2: %q", info.FDs)
	}
	if info.Stdin != os.DevNull {
		t.Errorf("standard input is %q", info.Stdin)
	}
	if !info.Session {
		t.Error("it has no session of its own")
	}
	for name, set := range map[string]string{"ignored": info.Ignored, "blocked": info.Blocked} {
		if strings.Trim(set, "0") != "" {
			t.Errorf("signals %s: %s", name, set)
		}
	}
}

func testExitCode(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	Exit(i.Addr(), 78)
	exit := awaitDone(t, i)
	if !exit.Known || exit.Code != 78 || exit.Signal != 0 || exit.OOM || exit.At.IsZero() {
		t.Errorf("exit: %+v (%s)", exit, exit)
	}
	if err := i.Terminate(); err != nil {
		t.Errorf("terminate after the end: %v", err)
	}
	mustKill(t, i)
}

func testExitSignal(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	Raise(i.Addr(), syscall.SIGKILL)
	exit := awaitDone(t, i)
	if !exit.Known || exit.Signal != syscall.SIGKILL || exit.OOM {
		t.Errorf("exit: %+v (%s)", exit, exit)
	}
}

func testTerminate(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appOrderly))
	if err := i.Terminate(); err != nil {
		t.Fatal(err)
	}
	if exit := awaitDone(t, i); exit.Code != 7 || exit.Signal != 0 {
		t.Errorf("exit: %+v (%s)", exit, exit)
	}
}

func testKillStubborn(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appStubborn))
	if err := i.Terminate(); err != nil {
		t.Fatal(err)
	}
	Ask(t, i.Addr()) // it lives
	mustKill(t, i)
	if exit := awaitDone(t, i); exit.Signal != syscall.SIGKILL || exit.OOM {
		t.Errorf("exit: %+v (%s)", exit, exit)
	}
	requireGone(t, o, i)
}

// orphaned starts an app that leaves a process behind which has left its
// session and keeps the port, and ends the main process.
func orphaned(t *testing.T, o *opened) runtime.Instance {
	t.Helper()
	i := o.start(t, o.spec(t, appServe))
	orphan := Orphan(t, i.Addr())
	Exit(i.Addr(), 1)
	awaitDone(t, i)
	if pid := Ask(t, i.Addr()).PID; pid != orphan {
		t.Fatalf("pid %d answers, not the orphan %d", pid, orphan)
	}
	return i
}

func testKillOrphan(t *testing.T, h Harness) {
	o := open(t, h)
	i := orphaned(t, o)
	mustKill(t, i)
	requireGone(t, o, i)
}

// requireGone checks that nothing answers, and nothing is recorded.
func requireGone(t *testing.T, o *opened, i runtime.Instance) {
	t.Helper()
	if conn, err := net.Dial("tcp", i.Addr()); err == nil {
		conn.Close()
		t.Error("after the kill somebody listens on the port")
	}
	if _, err := o.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
		t.Errorf("find after the kill: %v", err)
	}
}

func testKillTwice(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appStubborn))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := i.Kill(t.Context()); err != nil {
				t.Errorf("one of several kills: %v", err)
			}
		})
	}
	all.Wait()
	mustKill(t, i)
	awaitDone(t, i)
	requireGone(t, o, i)
}

func testKillCancelled(t *testing.T, h Harness) {
	o := open(t, h)
	i := o.start(t, o.spec(t, appServe))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// A kill that needs no waiting may succeed all the same; if it does not, it
	// says why, and can be repeated.
	if err := i.Kill(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("kill: %v", err)
	}
	mustKill(t, i)
	requireGone(t, o, i)
}

func testStartAgain(t *testing.T, h Harness) {
	o := open(t, h)
	spec := o.spec(t, appServe)
	first := o.start(t, spec)
	mustKill(t, first)
	spec.Generation++
	second := o.start(t, spec)
	if g := second.Record().Generation; g != 2 {
		t.Errorf("generation %d", g)
	}
}

func testStartSecond(t *testing.T, h Harness) {
	o := open(t, h)
	first := o.start(t, o.spec(t, appServe))
	spec := o.spec(t, appServe)
	spec.Generation = 2
	if _, err := o.Start(t.Context(), spec); err == nil {
		t.Fatal("a second instance was started")
	}
	Ask(t, first.Addr()) // it lives
	Exit(first.Addr(), 0)
	awaitDone(t, first)
	// A dead one may have left children: it has to be killed first.
	if _, err := o.Start(t.Context(), spec); err == nil {
		t.Fatal("a second instance was started before the first was cleared away")
	}
}

func testStartCancelled(t *testing.T, h Harness) {
	o := open(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Start(ctx, o.spec(t, appServe)); !errors.Is(err, context.Canceled) {
		t.Errorf("start: %v", err)
	}
	if _, err := o.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
		t.Errorf("find: %v", err)
	}
}

func testCommandMissing(t *testing.T, h Harness) {
	o := open(t, h)
	for _, program := range []string{"creel-no-such-program", "/creel/no/such/program"} {
		spec := o.spec(t)
		spec.Command = []string{program}
		spec.Env = append(spec.Env, "PATH=/usr/bin:/bin")
		err := requireCommandError(t, o, spec)
		if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("start of %s: %v", program, err)
		}
	}
}

func testCommandNotExecutable(t *testing.T, h Harness) {
	o := open(t, h)
	spec := o.spec(t)
	spec.Command = []string{h.NotExecutable}
	if err := requireCommandError(t, o, spec); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("start: %v", err)
	}
}

// requireCommandError starts what cannot be started; nothing may be left of it.
func requireCommandError(t *testing.T, o *opened, spec runtime.Spec) error {
	t.Helper()
	_, err := o.Start(t.Context(), spec)
	var command *runtime.CommandError
	if !errors.As(err, &command) {
		t.Fatalf("start: %v, want a CommandError", err)
	}
	if command.Command != spec.Command[0] {
		t.Errorf("the error names %q, not %q", command.Command, spec.Command[0])
	}
	if _, err := o.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
		t.Errorf("find after a failed start: %v", err)
	}
	return err
}

func testPortTaken(t *testing.T, h Harness) {
	o := open(t, h)
	spec := o.spec(t, appServe)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	spec.Port = l.Addr().(*net.TCPAddr).Port
	_, err = o.Start(t.Context(), spec)
	var taken *runtime.PortTakenError
	if !errors.As(err, &taken) {
		t.Fatalf("start: %v, want a PortTakenError", err)
	}
	if taken.Port != spec.Port || taken.PID != os.Getpid() || taken.Command == "" {
		t.Errorf("holder: %+v, want pid %d", taken, os.Getpid())
	}
	if _, err := o.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
		t.Errorf("find after a failed start: %v", err)
	}
}

func testFindNone(t *testing.T, h Harness) {
	o := open(t, h)
	if i, err := o.Find(t.Context()); !errors.Is(err, runtime.ErrNoInstance) {
		t.Errorf("find: %v, %v", i, err)
	}
}

func testFindAlive(t *testing.T, h Harness) {
	o := open(t, h)
	first := o.start(t, o.spec(t, appServe))
	pid := Ask(t, first.Addr()).PID
	o.reopen(t)
	if got := Ask(t, first.Addr()).PID; got != pid {
		t.Fatalf("pid %d became %d when creel ended", pid, got)
	}
	i, err := o.Find(t.Context())
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	if i.Addr() != first.Addr() || i.Record().Generation != first.Record().Generation || i.Record().PID != first.Record().PID {
		t.Errorf("found %+v at %s, started %+v at %s", i.Record(), i.Addr(), first.Record(), first.Addr())
	}
	select {
	case <-i.Done():
		t.Error("Done is closed while the app runs")
	default:
	}
	Exit(i.Addr(), 3)
	awaitDone(t, i)
	mustKill(t, i)
	requireGone(t, o, i)
}

func testFindDead(t *testing.T, h Harness) {
	o := open(t, h)
	first := o.start(t, o.spec(t, appServe))
	o.Close()
	Exit(first.Addr(), 3)
	o.Runtime = h.Open(t)
	i, err := o.Find(t.Context())
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	awaitDone(t, i)
	if err := i.Terminate(); err != nil {
		t.Errorf("terminate: %v", err)
	}
	mustKill(t, i)
	requireGone(t, o, i)
}

func testFindOrphan(t *testing.T, h Harness) {
	o := open(t, h)
	orphaned(t, o)
	o.reopen(t)
	i, err := o.Find(t.Context())
	if err != nil {
		t.Fatalf("find: %v", err)
	}
	awaitDone(t, i)
	mustKill(t, i)
	requireGone(t, o, i)
}

func testLateKill(t *testing.T, h Harness) {
	o := open(t, h)
	spec := o.spec(t, appServe)
	first := o.start(t, spec)
	mustKill(t, first)
	spec.Generation++
	second := o.start(t, spec)
	// The second generation must not suffer (I3).
	mustKill(t, first)
	if err := first.Terminate(); err != nil {
		t.Errorf("late terminate: %v", err)
	}
	Ask(t, second.Addr())
	if i, err := o.Find(t.Context()); err != nil || i.Record().Generation != 2 {
		t.Errorf("find after a late kill: %v, %v", i, err)
	}
}
