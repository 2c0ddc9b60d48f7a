package probe

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commandTarget has the test binary do what words say.
func commandTarget(words string) Target {
	return Target{Addr: "127.0.0.1:4711", Env: []string{"CREEL_TEST_COMMAND=" + words, "KEPT=yes"}}
}

func self(args ...string) Command {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return Command{Argv: append([]string{exe}, args...)}
}

func TestCommandExitCode(t *testing.T) {
	if err := self().Check(t.Context(), commandTarget("say=fine exit=")); err != nil {
		t.Error(err)
	}
	err := self().Check(t.Context(), commandTarget("say=not-yet say=token=leaked exit=xxx"))
	wantFailure(t, err, NotReady, "ended with exit status 3: not-yet token=[redacted]")
	if f, _ := errors.AsType[*Failure](err); f.Every != commandEvery {
		t.Errorf("to be run every %v", f.Every)
	}
}

func TestCommandGetsThePortAndNothingOfOurs(t *testing.T) {
	t.Setenv("CREEL_OWN_SECRET", "leaked")
	err := self("--port=$PORT", "x${PORT}x").Check(t.Context(), commandTarget("args env exit=x"))
	wantFailure(t, err, NotReady, "[--port=4711 x4711x]")
	for _, want := range []string{"PORT=4711", "KEPT=yes"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "leaked") {
		t.Errorf("it gets creel's environment: %v", err)
	}
	dir := t.TempDir()
	target := commandTarget("dir exit=x")
	target.Dir = dir
	wantFailure(t, self().Check(t.Context(), target), NotReady, filepath.Base(dir))
	if env := environ(Target{}); len(env) != 2 || !strings.HasPrefix(env[0], "PATH=") || !strings.HasPrefix(env[1], "HOME=") {
		t.Errorf("without an environment of its own: %q", env)
	}
}

func TestCommandThatCannotBeRun(t *testing.T) {
	wantFailure(t, Command{Argv: []string{"/no/such/program"}}.Check(t.Context(), Target{Addr: "127.0.0.1:1"}),
		Unchecked, "cannot run /no/such/program")
	wantFailure(t, Command{}.Check(t.Context(), Target{}), Unchecked, "no program is given")
}

func TestCommandOutputIsBounded(t *testing.T) {
	err := self().Check(t.Context(), commandTarget("flood=abc say=the-end exit=x"))
	wantFailure(t, err, NotReady, "the-end")
	if !strings.Contains(err.Error(), ": …") {
		t.Errorf("it is not said that output was left out: %v", err)
	}
}

// The command and all that it has started are gone when its time is up, when
// the check is called off, and when it has ended.
func TestCommandLeavesNothingBehind(t *testing.T) {
	tests := []struct {
		name, then string
		timeout    time.Duration
		cancel     bool
		verdict    Verdict
		says       string
	}{
		{"time is up", "hang", 3 * time.Second, false, Unanswered, "did not end within 3s: begun"},
		{"called off", "hang", time.Hour, true, 0, ""},
		{"ended well", "exit=", time.Hour, false, 0, ""},
		{"ended badly", "exit=x", time.Hour, false, NotReady, "exit status 1: begun"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			limit, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			ctx, cancel := context.WithCancel(limit)
			defer cancel()
			if tt.cancel {
				go func() {
					defer cancel()
					awaitFile(ctx, pidFile)
				}()
			}
			p := self()
			p.Timeout = tt.timeout
			err := p.Check(ctx, commandTarget("say=begun child="+pidFile+" "+tt.then))
			switch {
			case tt.cancel:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("got %v", err)
				}
			case tt.says != "":
				wantFailure(t, err, tt.verdict, tt.says)
			case err != nil:
				t.Error(err)
			}
			pid := awaitFile(limit, pidFile)
			if pid <= 0 {
				t.Fatal("the child was not started")
			}
			for !gone(pid) {
				if limit.Err() != nil {
					t.Fatal("the child is still there")
				}
			}
		})
	}
}

// awaitFile waits for a number in a file.
func awaitFile(ctx context.Context, path string) int {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		if b, err := os.ReadFile(path); err == nil && len(b) > 0 {
			if pid, err := strconv.Atoi(string(b)); err == nil {
				return pid
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return 0
		}
	}
}

// gone tells whether a process has ended: it is not there, or waits only for
// whoever adopted it to take note.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X")
}
