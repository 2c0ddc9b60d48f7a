package crashgw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startFor bounds the time from the start of a Process to its listening, beyond
// its boot delay. It is long because machines that run tests are busy.
const startFor = 20 * time.Second

// Process is crashgw running as a child of a test.
type Process struct {
	PID       int
	OrphanPID int // 0: none
	Port      int
	URL       string // "http://127.0.0.1:PORT"

	t      testing.TB
	cmd    *exec.Cmd
	opts   Options
	output string        // path of its standard output and error
	done   chan struct{} // closed when state is known
	state  *os.ProcessState
}

// Start runs the test binary as crashgw, whose TestMain must call RunIfAsked,
// and waits until it listens. With o.Port 0 it picks a free port. With
// ExitBeforeReady, or an ExitAfter that comes first, it may also return after
// the process has ended. The process, and its orphan, are killed when the test
// ends; its output is shown if the test has failed.
//
// env are more variables for it, as KEY=VALUE. The test's own environment is
// handed on, except for switches of crashgw.
func Start(t testing.TB, o Options, env ...string) *Process {
	t.Helper()
	if o.Port == 0 {
		o.Port = FreePort(t)
	}
	p := &Process{
		t: t, opts: o, Port: o.Port,
		URL:    fmt.Sprintf("http://127.0.0.1:%d", o.Port),
		output: filepath.Join(t.TempDir(), "crashgw.log"),
		done:   make(chan struct{}),
	}
	// A file and not a pipe: an orphan would keep a pipe open, and Wait waiting.
	out, err := os.OpenFile(p.output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatalf("cannot start crashgw: %v", err)
	}
	defer out.Close()
	argv := Command(o)
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(environWithoutSwitches(), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("cannot start crashgw: %v", err)
	}
	p.PID = p.cmd.Process.Pid
	go p.wait()
	t.Cleanup(p.cleanup)
	p.awaitListening()
	return p
}

func environWithoutSwitches() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "CRASHGW_") {
			env = append(env, kv)
		}
	}
	return env
}

func (p *Process) wait() {
	// How it ended is in ProcessState; Wait's error only repeats it.
	_ = p.cmd.Wait()
	p.state = p.cmd.ProcessState
	close(p.done)
}

// awaitListening polls the port: nothing else tells from outside that a foreign
// process listens.
func (p *Process) awaitListening() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), p.opts.BootDelay+startFor)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	mayEnd := p.opts.ExitBeforeReady || p.opts.ExitAfter > 0
	for {
		if p.listens(ctx) {
			break
		}
		select {
		case <-p.done:
			if !mayEnd {
				p.t.Fatalf("crashgw ended before it listened: %v\n%s", p.state, p.Output())
			}
			return
		case <-ctx.Done():
			p.t.Fatalf("crashgw does not listen on port %d\n%s", p.Port, p.Output())
		case <-tick.C:
		}
	}
	if p.opts.Orphan != OrphanNone {
		p.findOrphan(ctx)
	}
}

func (p *Process) listens(ctx context.Context) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", p.Port))
	if err != nil {
		return false
	}
	// It has served its purpose.
	_ = conn.Close()
	return true
}

func (p *Process) findOrphan(ctx context.Context) {
	p.t.Helper()
	tr := &http.Transport{DisableKeepAlives: true}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/healthz", nil)
	if err != nil {
		p.t.Fatalf("cannot ask crashgw for its orphan: %v", err)
	}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		p.t.Fatalf("cannot ask crashgw for its orphan: %v", err)
	}
	defer resp.Body.Close()
	var h Health
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil || h.Orphan == 0 {
		p.t.Fatalf("cannot learn crashgw's orphan: pid %d, %v", h.Orphan, err)
	}
	p.OrphanPID = h.Orphan
	// On Linux this holds a pidfd, so that the kill later hits nobody else.
	orphan, err := os.FindProcess(h.Orphan)
	if err != nil {
		p.t.Fatalf("cannot get hold of crashgw's orphan: %v", err)
	}
	p.t.Cleanup(func() {
		if err := orphan.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			p.t.Errorf("cannot kill crashgw's orphan %d: %v", h.Orphan, err)
		}
		if err := orphan.Release(); err != nil {
			p.t.Errorf("cannot release crashgw's orphan %d: %v", h.Orphan, err)
		}
	})
}

func (p *Process) cleanup() {
	p.Kill()
	if strings.Contains(p.Output(), "WARNING: DATA RACE") {
		p.t.Errorf("crashgw %d has a data race", p.PID)
	}
	if p.t.Failed() {
		p.t.Logf("output of crashgw %d (%v):\n%s", p.PID, p.state, p.Output())
	}
}

// Signal sends a signal. It is no error if the process has ended.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("cannot signal crashgw %d: %v", p.PID, err)
	}
}

// Kill kills the process with SIGKILL and returns when it is gone. Its orphan
// lives on.
func (p *Process) Kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	<-p.done // a killed process ends; the test's own deadline covers the rest
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the process and tells how it ended. It fails the
// test if that takes longer than the given time.
func (p *Process) Wait(atMost time.Duration) syscall.WaitStatus {
	p.t.Helper()
	t := time.NewTimer(atMost)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		p.t.Fatalf("crashgw %d has not ended within %v\n%s", p.PID, atMost, p.Output())
	}
	return p.state.Sys().(syscall.WaitStatus)
}

// Output is what the process has written so far to its standard output and
// error.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.output)
	if err != nil {
		return fmt.Sprintf("(cannot read the output: %v)", err)
	}
	return string(b)
}

// Ledger reads the ledger of Options.Ledger.
func (p *Process) Ledger() Ledger {
	p.t.Helper()
	l, err := ReadLedger(p.opts.Ledger)
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}
