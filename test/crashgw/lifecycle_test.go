package crashgw

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServesAtOnce(t *testing.T) {
	p := Start(t, Options{}, "CREEL_GENERATION=7")
	if h := decode[Health](t, mustGet(t, p.URL+"/healthz", 200)); h.PID != p.PID || h.PID == os.Getpid() {
		t.Errorf("pid %d answers, want %d", h.PID, p.PID)
	}
	mustGet(t, p.URL+"/readyz", 200)
	if e := decode[Echo](t, mustGet(t, p.URL+"/echo", 200)); e.Generation != "7" {
		t.Errorf("generation %q, want 7", e.Generation)
	}
	mustGet(t, p.URL+"/nowhere", 404)
}

func TestPortFromEnvironment(t *testing.T) {
	port := FreePort(t)
	argv := Command(Options{})
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, "it listens on $PORT", func() bool {
		r, err := request(t, "GET", fmt.Sprintf("http://127.0.0.1:%d/healthz", port), "")
		return err == nil && r.StatusCode == 200
	})
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {}} { // the second: no port
		cmd := exec.Command(Command(Options{})[0], append([]string{marker}, args...)...)
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		code := cmd.ProcessState.ExitCode()
		if err == nil || code == 0 || len(out) == 0 {
			t.Errorf("%v: exit code %d, output %q", args, code, out)
		}
	}
}

func TestPortTaken(t *testing.T) {
	p := Start(t, Options{})
	argv := Command(Options{Port: p.Port})
	cmd := exec.Command(argv[0], argv[1:]...)
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != ExitPortTaken {
		t.Errorf("exit code %d, want %d; %s", cmd.ProcessState.ExitCode(), ExitPortTaken, out)
	}
}

func TestBootDelay(t *testing.T) {
	const delay = 150 * time.Millisecond
	start := time.Now()
	p := Start(t, Options{BootDelay: delay})
	// Start returns when it listens, which must not be before the delay is over.
	if took := time.Since(start); took < delay {
		t.Errorf("listens after %v, want %v or more", took, delay)
	}
	mustGet(t, p.URL+"/readyz", 200)
}

func TestListenEarly(t *testing.T) {
	p := Start(t, Options{BootDelay: time.Hour, ListenEarly: true})
	mustGet(t, p.URL+"/healthz", 200)
	for _, path := range []string{"/readyz", "/echo", "/item?id=1", "/nowhere", "/echo?die=on-arrival"} {
		r := mustGet(t, p.URL+path, 503)
		if h := decode[Health](t, r); h.Ready || !strings.Contains(string(r.body), `"ready":false`) {
			t.Errorf("%s: %s", path, r.body)
		}
	}

	q := Start(t, Options{BootDelay: 200 * time.Millisecond, ListenEarly: true})
	eventually(t, "it gets ready", func() bool {
		r, err := request(t, "GET", q.URL+"/readyz", "")
		return err == nil && r.StatusCode == 200
	})
	mustGet(t, q.URL+"/echo", 200)
}

func TestExits(t *testing.T) {
	tests := []struct {
		name string
		opts Options
		code int
	}{
		{"after", Options{ExitAfter: 30 * time.Millisecond, ExitCode: 7}, 7},
		{"after, default code", Options{ExitAfter: 30 * time.Millisecond}, 1},
		{"after, clean", Options{ExitAfter: 30 * time.Millisecond, ExitCode: CleanExit}, 0},
		{"before ready, never listening", Options{ExitBeforeReady: true, ExitCode: 78}, 78},
		{"before ready, listening", Options{ExitBeforeReady: true, ListenEarly: true, BootDelay: 30 * time.Millisecond}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Start(t, tt.opts)
			wantExit(t, p, tt.code)
			if tt.opts.ExitBeforeReady && strings.Contains(p.Output(), ": ready") {
				t.Errorf("it got ready:\n%s", p.Output())
			}
			if listening := strings.Contains(p.Output(), "listening"); tt.opts.ExitBeforeReady && listening != tt.opts.ListenEarly {
				t.Errorf("listening %v, want %v", listening, tt.opts.ListenEarly)
			}
		})
	}
}

func TestSIGTERM(t *testing.T) {
	t.Run("plain", func(t *testing.T) {
		p := Start(t, Options{ExitCode: 9}) // the code is for failures, not for this
		p.Signal(syscall.SIGTERM)
		wantExit(t, p, 0)
	})
	t.Run("slow", func(t *testing.T) {
		const slow = 400 * time.Millisecond
		p := Start(t, Options{SlowTerm: slow})
		start := time.Now()
		p.Signal(syscall.SIGTERM)
		eventually(t, "it drains", func() bool { return strings.Contains(p.Output(), "SIGTERM: ending in") })
		wantExit(t, p, 0)
		if took := time.Since(start); took < slow {
			t.Errorf("ended after %v, want %v or more", took, slow)
		}
	})
	t.Run("serves while slow", func(t *testing.T) {
		p := Start(t, Options{SlowTerm: time.Hour})
		p.Signal(syscall.SIGTERM)
		eventually(t, "it is no longer ready", func() bool {
			r, err := request(t, "GET", p.URL+"/readyz", "")
			return err == nil && r.StatusCode == 503
		})
		mustGet(t, p.URL+"/healthz", 200)
		mustGet(t, p.URL+"/echo", 200)
		p.Signal(syscall.SIGTERM) // a second one hurries nothing
		mustGet(t, p.URL+"/echo", 200)
	})
	t.Run("ignored", func(t *testing.T) {
		p := Start(t, Options{IgnoreSIGTERM: true})
		p.Signal(syscall.SIGTERM)
		mustGet(t, p.URL+"/echo", 200)
		// The kernel's word, because an answer alone might precede a late death.
		if !ignores(t, p.PID, syscall.SIGTERM) {
			t.Error("SIGTERM is not ignored")
		}
		// Dying by it on request works all the same.
		_, _ = request(t, "GET", p.URL+"/echo?die=on-arrival&signal=TERM", "")
		if ws := p.Wait(testFor); ws.Signal() != syscall.SIGTERM {
			t.Errorf("ended with %v, want SIGTERM", p.state)
		}
	})
}

// ignores looks up SigIgn in /proc/PID/status, see proc(5).
func ignores(t *testing.T, pid int, sig syscall.Signal) bool {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "SigIgn:")
	var mask uint64
	if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%x", &mask); err != nil {
		t.Fatal(err)
	}
	return mask&(1<<(sig-1)) != 0
}

func TestLogFlood(t *testing.T) {
	p := Start(t, Options{LogFlood: 200_000})
	eventually(t, "there are 20 kB of log", func() bool { return len(p.Output()) > 20_000 })
	for n := 1; n <= 100; n++ {
		if !strings.Contains(p.Output(), fmt.Sprintf("flood line %d ", n)) {
			t.Fatalf("line %d is missing", n)
		}
	}
}

func TestLog(t *testing.T) {
	p := Start(t, Options{})
	mustGet(t, p.URL+"/log?text=to+out", 200)
	mustGet(t, p.URL+"/log?text=to+err&to=stderr", 200)
	mustGet(t, p.URL+"/log?to=nowhere", 400)
	if out := p.Output(); !strings.Contains(out, "\nto out\nto err\n") {
		t.Errorf("output %q", out)
	}
}

func TestDieAfterRequests(t *testing.T) {
	p := Start(t, Options{DieAfterRequests: 2, ExitCode: 5})
	mustGet(t, p.URL+"/echo", 200)
	mustGet(t, p.URL+"/healthz", 200) // not counted
	mustGet(t, p.URL+"/readyz", 200)  // not counted
	// On a connection that is kept open, so that the exit must end it.
	conn := dial(t, p)
	if _, err := conn.Write([]byte(hello("/echo"))); err != nil {
		t.Fatal(err)
	}
	raw, _ := readAll(t, conn)
	_, h, body := head(t, raw)
	if h.Get("Content-Length") != fmt.Sprint(len(body)) || h.Get("Connection") != "" {
		t.Errorf("the last answer is not whole or announces its end: %q", raw)
	}
	wantExit(t, p, 5)
}

func TestFirstRequestKills(t *testing.T) {
	file := filepath.Join(t.TempDir(), "times")
	if err := os.WriteFile(file, []byte("2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ledger := ledgerPath(t)
	port := FreePort(t)
	for generation := 1; generation <= 3; generation++ {
		p := Start(t, Options{Port: port, FirstRequestKillsTimes: file, ExitCode: 6, Ledger: ledger})
		mustGet(t, p.URL+"/healthz", 200)
		mustGet(t, p.URL+"/readyz", 200)
		if generation == 3 {
			mustGet(t, p.URL+"/item?id=1", 200)
			p.Kill()
			continue
		}
		mustGet(t, p.URL+"/item?id=1", 500)
		wantExit(t, p, 6)
	}
	l, err := ReadLedger(ledger)
	if err != nil || l.Executions()["1"] != 1 {
		t.Errorf("executed %v, %v; the killing request must not be", l.Executions(), err)
	}

	p := Start(t, Options{FirstRequestKills: true})
	mustGet(t, p.URL+"/echo", 500)
	wantExit(t, p, 1)
}

func TestRefuse(t *testing.T) {
	const stream = "/sse?n=1000000&every=1ms"
	t.Run("closes", func(t *testing.T) {
		p := Start(t, Options{})
		mustGet(t, p.URL+"/refuse", 400) // for ever would be no restart
		idle, busy := dial(t, p), dial(t, p)
		events := openStream(t, busy, stream)
		mustGet(t, p.URL+"/refuse?for=1h", 200)
		conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", p.Port))
		if err == nil {
			_ = conn.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialling gives %v, want a refusal", err)
		}
		if got, _ := readAll(t, idle); got != "" { // it ends, for it was closed
			t.Errorf("the idle connection got %q", got)
		}
		for range 20 {
			if _, err := events.ReadString('\n'); err != nil {
				t.Fatalf("the busy connection was closed: %v", err)
			}
		}
	})
	t.Run("opens again", func(t *testing.T) {
		p := Start(t, Options{})
		mustGet(t, p.URL+"/refuse?for=1ms", 200)
		eventually(t, "the port is open again", func() bool {
			r, err := request(t, "GET", p.URL+"/healthz", "")
			return err == nil && decode[Health](t, r).PID == p.PID // the same process
		})
	})
	t.Run("drops", func(t *testing.T) {
		p := Start(t, Options{})
		events := openStream(t, dial(t, p), stream)
		mustGet(t, p.URL+"/refuse?for=1ms&drop=1", 200)
		if _, err := io.Copy(io.Discard, events); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the busy connection does not end: %v", err)
		}
	})
}

// openStream sends a request and returns once the answer has begun.
func openStream(t *testing.T, conn net.Conn, path string) *bufio.Reader {
	t.Helper()
	if _, err := io.WriteString(conn, hello(path)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("the stream begins with %q, %v", line, err)
	}
	return r
}
