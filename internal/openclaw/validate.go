package openclaw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	"creel/internal/telemetry"
)

// Limits of OpenClaw's own command line, where creel calls it.
const (
	// validateTime bounds "config validate", which takes one to two seconds, and
	// five on a busy machine.
	validateTime = time.Minute
	// doctorTime bounds "doctor --fix", which takes ten to forty seconds: it may
	// install a plugin.
	doctorTime = 5 * time.Minute
	// maxOutput bounds what is kept of its output.
	maxOutput = 1 << 20
)

// Runner runs OpenClaw's own command line. It returns what that has written to
// standard output, and the error of its end (*exec.ExitError) or of its start.
type Runner func(ctx context.Context, args ...string) (stdout string, err error)

// Exec runs a program to its end, as (*exec.Cmd).Run does. What runs here is in part the
// agent's to write: OpenClaw's command line loads code from the state folder, and the
// gateway can write to its own installation. So whoever has something to keep from the
// agent keeps it from these programs as well (process.RunApart).
type Exec func(*exec.Cmd) error

// run runs cmd; a nil Exec keeps nothing from it.
func (e Exec) run(cmd *exec.Cmd) error {
	if e == nil {
		return cmd.Run()
	}
	return e(cmd)
}

// NewRunner runs the command line of an installation, with the environment that
// the gateway has.
func NewRunner(l Layout, in Installation, environ []string, extra map[string]string, run Exec) Runner {
	return func(ctx context.Context, args ...string) (string, error) {
		call, err := CLI(l, in, environ, extra, args)
		if err != nil {
			return "", err
		}
		cmd := exec.CommandContext(ctx, call.Argv[0], call.Argv[1:]...)
		// Its children go with it, and do not keep the call waiting. It goes with creel: see
		// runLog.run.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = 5 * time.Second
		var out limitedBuffer
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = l.Home(), call.Env, &out, nil
		goruntime.LockOSThread()
		err = run.run(cmd)
		goruntime.UnlockOSThread()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return out.b.String(), err
	}
}

// limitedBuffer keeps the first maxOutput bytes.
type limitedBuffer struct{ b strings.Builder }

func (l *limitedBuffer) Write(p []byte) (int, error) {
	l.b.Write(p[:min(len(p), maxOutput-l.b.Len())])
	return len(p), nil
}

// finding is what OpenClaw says of its configuration.
type finding struct {
	Valid    bool
	Issues   []issue
	Warnings []issue
}

type issue struct {
	Path    string
	Message string
}

func (i issue) String() string {
	if i.Path == "" || strings.HasPrefix(i.Message, i.Path) {
		return i.Message
	}
	return i.Path + ": " + i.Message
}

// words puts issues into one sentence, without secrets.
func words(issues []issue) string {
	list := make([]string, len(issues))
	for i, one := range issues {
		list[i] = one.String()
	}
	return telemetry.Redact(strings.Join(list, "; "))
}

// validate asks OpenClaw whether it would start with its present configuration.
// The error says that it gave no answer.
func validate(ctx context.Context, run Runner) (finding, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, validateTime, fmt.Errorf("it did not answer within %v", validateTime))
	defer cancel()
	out, err := run(ctx, "config", "validate", "--json")
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return finding{}, fmt.Errorf("cannot ask OpenClaw whether its configuration is valid: %w", err)
	}
	// A warning of Node.js or of a plugin may come before the answer.
	var f finding
	at := strings.Index("\n"+out, "\n{")
	if at < 0 || json.NewDecoder(strings.NewReader(out[at:])).Decode(&f) != nil || !f.Valid && len(f.Issues) == 0 {
		return finding{}, fmt.Errorf("cannot tell what OpenClaw says of its configuration: it answers %q", clip(out))
	}
	return f, nil
}

func clip(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return telemetry.Redact(s)
}

// doctor has OpenClaw repair its configuration and state.
func doctor(ctx context.Context, run Runner) error {
	ctx, cancel := context.WithTimeoutCause(ctx, doctorTime, fmt.Errorf("it did not end within %v", doctorTime))
	defer cancel()
	if _, err := run(ctx, "doctor", "--fix", "--yes", "--non-interactive"); err != nil {
		return fmt.Errorf("openclaw doctor --fix: %w", err)
	}
	return nil
}
