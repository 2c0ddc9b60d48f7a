//go:build e2e

package openclaw

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"creel/internal/runtime"
	"creel/test/crashgw"
)

// These tests run the real OpenClaw. It is installed once, into the folder
// $CREEL_E2E_DATA or else creel-e2e in the user's cache folder, which takes npm,
// a network and about a minute; later runs reuse it.
//
//	go test -tags e2e -timeout 20m ./internal/openclaw

// readyTimeout allows for a busy machine; 15 s are usual.
const readyTimeout = 3 * time.Minute

func realInstallation(t *testing.T) Installation {
	t.Helper()
	data := os.Getenv("CREEL_E2E_DATA")
	if data == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		data = filepath.Join(cache, "creel-e2e")
	}
	l, err := LayoutIn(data)
	if err != nil {
		t.Fatal(err)
	}
	in := &Installer{Layout: l, Environ: os.Environ(), Progress: func(p Progress) {
		t.Logf("%-9s %5.1fs  %s", p.Phase, p.Total.Seconds(), p.Message)
	}}
	got, err := in.Install(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// realGateway is a gateway with a state of its own.
type realGateway struct {
	layout Layout
	in     Installation
	port   int
	token  string
	extra  map[string]string // environment
}

func newRealGateway(t *testing.T, origins ...string) *realGateway {
	t.Helper()
	g := &realGateway{layout: newLayout(t), in: realInstallation(t), port: crashgw.FreePort(t)}
	c, err := Configure(g.layout, Settings{Port: g.port, Origins: origins})
	if err != nil {
		t.Fatal(err)
	}
	g.token = c.Token.Reveal()
	return g
}

// instance is a running gateway.
type instance struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// output collects what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (g *realGateway) start(t *testing.T) *instance {
	t.Helper()
	inv, err := Command(g.layout, g.in, g.port, os.Environ(), g.extra)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{cmd: exec.Command(inv.Argv[0], inv.Argv[1:]...), out: &output{}, done: make(chan struct{})}
	i.cmd.Dir, i.cmd.Env = inv.Dir, inv.Env
	i.cmd.Stdout, i.cmd.Stderr = i.out, i.out
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	i.cmd.WaitDelay = killDelay
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = i.cmd.Wait() // the tests look at ProcessState
		close(i.done)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("output of the gateway:\n%s", i.out)
		}
		_ = syscall.Kill(-i.cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		<-i.done
	})
	return i
}

// exit waits for the end.
func (i *instance) exit(t *testing.T) Cause {
	t.Helper()
	select {
	case <-i.done:
	case <-time.After(readyTimeout):
		t.Fatal("the gateway did not end")
	}
	exit := runtime.Exit{Known: true}
	if status := i.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		exit.Signal = status.Signal()
	} else {
		exit.Code = status.ExitStatus()
	}
	lines := strings.Split(strings.TrimSpace(i.out.String()), "\n")
	cause := ExitCause(exit, lines[max(0, len(lines)-40):])
	t.Logf("%v: %+v", exit, cause)
	return cause
}

func (i *instance) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := i.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ready waits until /readyz says so.
func (g *realGateway) ready(t *testing.T, i *instance) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), readyTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if status, _ := get(t, g.url()+"/readyz", nil); status == http.StatusOK {
			t.Logf("ready after %v", time.Since(began))
			return
		}
		select {
		case <-tick.C:
		case <-i.done:
			t.Fatalf("the gateway ended: %+v", i.exit(t))
		case <-ctx.Done():
			t.Fatal("the gateway did not become ready")
		}
	}
}

func (g *realGateway) url() string { return fmt.Sprintf("http://127.0.0.1:%d", g.port) }

// get returns 0 if there was no answer.
func get(t *testing.T, target string, header http.Header) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

// hop is a proxy on another port that keeps Host, as creel's does, and that
// does with headers about the client what ForwardingFor says.
func hop(t *testing.T, g *realGateway, client string) *httptest.Server {
	t.Helper()
	target, err := url.Parse(g.url())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.Out.Header.Del("X-Real-IP") // ReverseProxy has removed the others
		if ForwardingFor(netip.MustParseAddr(client), false) == Set {
			r.Out.Header.Set("X-Forwarded-For", client)
			r.Out.Header.Set("X-Forwarded-Proto", "http")
		}
	}})
	t.Cleanup(server.Close)
	return server
}

// The whole life: configured without onboarding and without a provider's key,
// validated, booted, reached through a hop, killed, booted again, stopped.
func TestE2ELife(t *testing.T) {
	g := newRealGateway(t)
	local, remote := hop(t, g, "127.0.0.1"), hop(t, g, "203.0.113.9")
	if _, err := Configure(g.layout, Settings{Port: g.port, Origins: []string{remote.URL}}); err != nil {
		t.Fatal(err)
	}
	g.validate(t)
	written := getConfig(t, g.layout)

	first := g.start(t)
	g.ready(t, first)
	t.Run("headers", func(t *testing.T) { testHeaders(t, g) })
	t.Run("hop", func(t *testing.T) { testHop(t, g, local, remote) })
	if got, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", first.cmd.Process.Pid)); err != nil || got != g.layout.Home() {
		t.Errorf("working directory %s, %v", got, err)
	}
	if status, body := get(t, g.url()+"/readyz", nil); status != 200 || !strings.Contains(body, `"ready":true`) {
		t.Errorf("readyz: %d %s", status, body)
	}
	if err := syscall.Kill(-first.cmd.Process.Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if cause := first.exit(t); cause.Cause != CauseSignal || cause.Permanent {
		t.Errorf("killed: %+v", cause)
	}

	// Another address of creel, as after a change of its own configuration.
	origin := "https://bot.example.com"
	if c, err := Configure(g.layout, Settings{Port: g.port, Origins: []string{origin}}); err != nil || !c.Changed || c.Token.Reveal() != g.token {
		t.Fatalf("Configure between two boots = %+v, %v", c, err)
	}
	second := g.start(t)
	g.ready(t, second)
	if text := getConfig(t, g.layout); !strings.Contains(text, origin) {
		t.Errorf("OpenClaw took back what creel wrote:\n%s\nbefore:\n%s", text, written)
	}
	second.signal(t, syscall.SIGTERM)
	if cause := second.exit(t); cause.Cause != CauseStopped || cause.Permanent {
		t.Errorf("stopped: %+v", cause)
	}

	// Running it has changed nothing that the manifest looks at.
	if in := realInstallation(t); !in.Reused {
		t.Error("the installation looks damaged after it was used")
	}
}

// validate asks OpenClaw about the configuration.
func (g *realGateway) validate(t *testing.T) {
	t.Helper()
	inv, err := Command(g.layout, g.in, g.port, os.Environ(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.in.Node, g.in.Entry, "config", "validate", "--json")
	cmd.Dir, cmd.Env = inv.Dir, inv.Env
	out, err := cmd.Output()
	if err != nil || !bytes.Contains(out, []byte(`"valid":true`)) || !bytes.Contains(out, []byte(`"warnings":[]`)) {
		t.Errorf("openclaw config validate: %v\n%s", err, out)
	}
}

// The first table of the package comment, and what rests on it.
func testHeaders(t *testing.T, g *realGateway) {
	tests := []struct {
		name, value string
		want        int
	}{
		{"Accept", "*/*", 200},
		{"X-Forwarded-For", "203.0.113.9", 200},
		{"X-Forwarded-For", "192.168.1.20", 200},
		{"X-Forwarded-For", "127.0.0.1", 403},
		{"X-Forwarded-For", "::1", 403},
		{"X-Forwarded-Proto", "http", 403},
		{"X-Real-Ip", "203.0.113.9", 403},
		{"Forwarded", "for=203.0.113.9", 403},
	}
	for _, test := range tests {
		for _, path := range []string{"/", "/readyz"} {
			if status, _ := get(t, g.url()+path, http.Header{test.name: {test.value}}); status != test.want {
				t.Errorf("GET %s with %s: %s = %d, want %d", path, test.name, test.value, status, test.want)
			}
		}
	}
}

// A browser on the same host, seen through a hop on another port, is let in; its
// origin needs not be listed. One on another host has to be paired, and its
// origin has to be listed.
func testHop(t *testing.T, g *realGateway, local, remote *httptest.Server) {
	_, port, err := net.SplitHostPort(local.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	status, page := get(t, local.URL+"/", http.Header{"X-Real-Ip": {"127.0.0.1"}, "X-Forwarded-For": {"127.0.0.1"}})
	if status != 200 || !strings.Contains(page, "<title>OpenClaw") {
		t.Errorf("Control UI: %d %.200s", status, page)
	}
	if status, body := get(t, local.URL+"/readyz", nil); status != 200 {
		t.Errorf("readyz: %d %s", status, body)
	}
	checkFragment(t, g)

	build := buildID(t, g)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		origin := "http://" + net.JoinHostPort(host, port)
		if reply := controlUIConnect(t, g, local.Listener.Addr().String(), origin, build); !reply.OK {
			t.Errorf("WebSocket with Origin %s: %s", origin, reply.raw)
		}
	}
	if reply := controlUIConnect(t, g, local.Listener.Addr().String(), "https://evil.example", build); reply.OK || !strings.Contains(reply.raw, "ORIGIN") {
		t.Errorf("WebSocket with a foreign Origin: %s", reply.raw)
	}
	if status, _ := get(t, remote.URL+"/", nil); status != 200 {
		t.Errorf("Control UI from another host: %d", status)
	}
	addr := remote.Listener.Addr().String()
	if reply := controlUIConnect(t, g, addr, remote.URL, build); reply.OK || !strings.Contains(reply.raw, "PAIRING_REQUIRED") {
		t.Errorf("WebSocket from another host: %s", reply.raw)
	}
	if reply := controlUIConnect(t, g, addr, local.URL, build); reply.OK || !strings.Contains(reply.raw, "ORIGIN") {
		t.Errorf("WebSocket from another host with an origin that is not listed: %s", reply.raw)
	}
}

// checkFragment looks for the code of the Control UI that takes the token from
// the fragment; Link rests on it.
func checkFragment(t *testing.T, g *realGateway) {
	t.Helper()
	scripts, err := filepath.Glob(filepath.Join(filepath.Dir(g.in.Entry), "dist", "control-ui", "assets", "*.js"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(scripts, func(path string) bool {
		b, err := os.ReadFile(path)
		return err == nil && bytes.Contains(b, []byte("Use URL fragment instead: #token=<token>"))
	}) {
		t.Error("the Control UI does not speak of #token= any more")
	}
}

// What OpenClaw does at each of its ends, and what creel says to it.
func TestE2EExits(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		g := newRealGateway(t)
		putConfig(t, g.layout, strings.Replace(getConfig(t, g.layout), `"logging"`, `"nonsense": 1, "logging"`, 1))
		if cause := g.start(t).exit(t); cause.Cause != CauseConfigRefused || !cause.Permanent || !strings.Contains(cause.Message, "nonsense") {
			t.Errorf("%+v", cause)
		}
		putConfig(t, g.layout, `{"gateway": {`)
		if cause := g.start(t).exit(t); cause.Cause != CauseConfigRefused || !strings.Contains(cause.Message, "gateway.mode") {
			t.Errorf("%+v", cause)
		}
	})
	t.Run("heap", func(t *testing.T) {
		g := newRealGateway(t)
		g.extra = map[string]string{"NODE_OPTIONS": "--max-old-space-size=100"}
		if cause := g.start(t).exit(t); cause.Cause != CauseHeapExhausted || cause.Permanent {
			t.Errorf("%+v", cause)
		}
	})
	t.Run("port", func(t *testing.T) {
		g := newRealGateway(t)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", g.port))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if cause := g.start(t).exit(t); cause.Cause != CausePortTaken || cause.Permanent || !strings.Contains(cause.Message, fmt.Sprint("pid ", os.Getpid())) {
			t.Errorf("%+v", cause)
		}
	})
	t.Run("second, then self-restart", func(t *testing.T) {
		g := newRealGateway(t)
		first := g.start(t)
		g.ready(t, first)
		other := *g
		other.port = crashgw.FreePort(t)
		if cause := other.start(t).exit(t); cause.Cause != CauseStateInUse || !cause.Permanent {
			t.Errorf("%+v", cause)
		}
		first.signal(t, syscall.SIGUSR2) // OpenClaw's own restart signal
		if cause := first.exit(t); cause.Cause != CauseSelfRestart || cause.Permanent {
			t.Errorf("%+v", cause)
		}
	})
}

// reply is the answer to a connect request.
type reply struct {
	OK      bool
	Payload struct {
		Server struct {
			BuildID string `json:"buildId"`
		}
	}
	raw string
}

// buildID asks the gateway for its build, as a management client would.
func buildID(t *testing.T, g *realGateway) string {
	t.Helper()
	client := map[string]any{"id": "gateway-client", "version": "1.0.0", "platform": "linux", "mode": "backend"}
	got := connect(t, fmt.Sprintf("127.0.0.1:%d", g.port), "", func(string, int64) map[string]any {
		return connectParams(client, g.token, []string{"operator.read"}, nil)
	})
	if !got.OK || got.Payload.Server.BuildID == "" {
		t.Fatalf("connect: %s", got.raw)
	}
	return got.Payload.Server.BuildID
}

var errNoReply = errors.New("the gateway closed the connection without an answer")

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
