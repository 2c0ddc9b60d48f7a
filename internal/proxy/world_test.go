package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/runtime"
)

// patience is how long a test waits for what must come. Nothing waits for it to
// pass.
const patience = 20 * time.Second

// world is a gateway under a real supervisor, the proxy in front of it, and a
// server in front of that, all on real sockets. What an instance does with a
// connection is a script.
type world struct {
	t     testing.TB
	rt    *fakeRuntime
	sup   *gateway.Supervisor
	proxy *Proxy
	srv   *http.Server
	addr  string
	tally *tally
}

type setting struct {
	proxy   Options
	hold    int
	tls     *tls.Config
	unready func(generation uint64) <-chan struct{} // an instance gets ready when it is closed
	between func(gateway.Lease)                     // called when a lease has been got
	alter   func(*Proxy)                            // called before anything is served
}

// testProxyConfig is the default configuration, but that no busy machine makes
// a crash look like something else. Where the gateway is to live on, a test
// shortens the window again: it would have to sit it out.
func testProxyConfig() config.Proxy {
	c := config.Defaults().Proxy
	c.Replay.CrashWindow = patience
	return c
}

func newWorld(t testing.TB, script func(*peer), change ...func(*setting)) *world {
	t.Helper()
	set := setting{hold: 10000}
	tally := &tally{}
	set.proxy = Options{Name: "test", Config: testProxyConfig(), Recorder: tally, BodyDir: t.TempDir()}
	for _, c := range change {
		c(&set)
	}
	w := &world{t: t, rt: &fakeRuntime{script: script, unready: set.unready}, tally: tally}
	w.sup = gateway.New(gateway.Options{
		Name: "test", Runtime: w.rt, Prober: w.rt,
		Plan:         func(_ context.Context, g uint64) (runtime.Spec, error) { return runtime.Spec{Generation: g}, nil },
		ReadyTimeout: patience, AliveTimeout: patience, HoldRequests: set.hold,
		Policy: gateway.Policy{Drain: time.Second, Grace: time.Second, SilentGrace: time.Second, Stable: time.Minute,
			KillRetry: time.Millisecond, Delay: time.Millisecond, MaxDelay: time.Millisecond, Fruitless: 1000},
	})
	go w.sup.Run()
	set.proxy.Gateway = w.sup
	if set.between != nil {
		set.proxy.Gateway = hooked{w.sup, set.between}
	}
	p, err := New(set.proxy)
	if err != nil {
		t.Fatal(err)
	}
	if set.alter != nil {
		set.alter(p)
	}
	w.proxy = p
	w.srv = Server(set.proxy.Config, p, slog.New(slog.DiscardHandler))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = ln.Addr().String()
	served := make(chan struct{})
	go func() {
		defer close(served)
		if set.tls != nil {
			w.srv.TLSConfig = set.tls
			_ = w.srv.ServeTLS(ln, "", "")
			return
		}
		_ = w.srv.Serve(ln)
	}()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := p.CloseTunnels(ctx, closeGoingAway, "the test is over"); err != nil {
			t.Error(err)
		}
		if err := w.srv.Close(); err != nil {
			t.Error(err)
		}
		<-served
		w.sup.Leave()
		p.Close()
		w.rt.end()
		eventually(t, "all requests to end", func() bool { return tally.inFlight.Load() == 0 })
		if n := p.budget.used.Load(); n != 0 {
			t.Errorf("%d bytes of the budget are not given back", n)
		}
		if n := tally.kept.Load(); n != 0 {
			t.Errorf("the metric of kept bytes says %d", n)
		}
	})
	return w
}

// hooked calls a function between a lease and its use.
type hooked struct {
	Gateway
	between func(gateway.Lease)
}

func (h hooked) Acquire(ctx context.Context, ask gateway.Ask) (gateway.Lease, error) {
	l, err := h.Gateway.Acquire(ctx, ask)
	if err == nil {
		h.between(l)
	}
	return l, err
}

// eventually waits for a condition that nothing signals.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// receive waits for an event of the test's own.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// fakeRuntime makes instances that are scripted listeners in this process. It is
// the prober too.
type fakeRuntime struct {
	script   func(*peer)
	unready  func(generation uint64) <-chan struct{}
	samePort bool            // all instances listen on the first one's port
	suspect  func(*instance) // what happens when a suspect is checked; nil: it is fine

	mu        sync.Mutex
	instances []*instance
	conns     sync.WaitGroup
	seen      map[string][]uint64 // by request path: the generations that saw it
}

func (rt *fakeRuntime) Start(_ context.Context, spec runtime.Spec) (runtime.Instance, error) {
	addr := "127.0.0.1:0"
	if last := rt.last(); rt.samePort && last != nil {
		addr = last.Addr()
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	i := &instance{rt: rt, generation: spec.Generation, ln: ln, done: make(chan struct{}), open: map[net.Conn]struct{}{}, started: time.Now()}
	rt.mu.Lock()
	rt.instances = append(rt.instances, i)
	rt.mu.Unlock()
	rt.conns.Go(i.accept)
	return i, nil
}

func (rt *fakeRuntime) Find(context.Context) (runtime.Instance, error) {
	return nil, runtime.ErrNoInstance
}

func (rt *fakeRuntime) Ready(ctx context.Context, inst runtime.Instance) error {
	i := inst.(*instance)
	if i.probed.Swap(true) && rt.suspect != nil {
		rt.suspect(i)
	}
	if rt.unready == nil {
		return nil
	}
	select {
	case <-rt.unready(i.generation):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (rt *fakeRuntime) Alive(context.Context, runtime.Instance) error { return nil }

// saw takes note of a request that reached an instance.
func (rt *fakeRuntime) saw(path string, generation uint64) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if rt.seen == nil {
		rt.seen = map[string][]uint64{}
	}
	rt.seen[path] = append(rt.seen[path], generation)
}

// sightings are the generations that saw a request, in order.
func (rt *fakeRuntime) sightings(path string) []uint64 {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	return append([]uint64(nil), rt.seen[path]...)
}

// last is the present instance.
func (rt *fakeRuntime) last() *instance {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if len(rt.instances) == 0 {
		return nil
	}
	return rt.instances[len(rt.instances)-1]
}

func (rt *fakeRuntime) end() {
	rt.mu.Lock()
	all := rt.instances
	rt.mu.Unlock()
	for _, i := range all {
		i.crash()
	}
	rt.conns.Wait()
}

// instance is a scripted listener.
type instance struct {
	rt         *fakeRuntime
	generation uint64
	started    time.Time
	probed     atomic.Bool
	done       chan struct{}
	count      atomic.Int64 // connections

	mu    sync.Mutex
	ln    net.Listener
	open  map[net.Conn]struct{}
	ended bool
}

func (i *instance) accept() {
	for {
		c, err := i.ln.Accept()
		if err != nil {
			return
		}
		i.mu.Lock()
		if i.ended {
			i.mu.Unlock()
			_ = c.Close()
			continue
		}
		i.open[c] = struct{}{}
		i.mu.Unlock()
		p := &peer{i: i, tcp: c.(*net.TCPConn), br: bufio.NewReader(c), number: int(i.count.Add(1))}
		i.rt.conns.Go(func() {
			defer p.close()
			_ = c.SetDeadline(time.Now().Add(2 * patience))
			i.rt.script(p)
		})
	}
}

// crash ends the instance as the kernel ends a killed process: its sockets
// close, then its end is known.
func (i *instance) crash() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	i.ended = true
	_ = i.ln.Close()
	for c := range i.open {
		_ = c.Close()
	}
	close(i.done)
}

// refuse closes the listener of an instance that lives on.
func (i *instance) refuse() { _ = i.ln.Close() }

func (i *instance) Record() runtime.Record {
	return runtime.Record{Generation: i.generation, PID: int(i.generation), StartedAt: i.started}
}
func (i *instance) Addr() string          { return i.ln.Addr().String() }
func (i *instance) Done() <-chan struct{} { return i.done }
func (i *instance) Exit() runtime.Exit    { return runtime.Exit{Known: true, Code: 1, At: time.Now()} }
func (i *instance) Terminate() error      { i.crash(); return nil }
func (i *instance) Thaw() error           { return nil }
func (i *instance) Frozen() (bool, error) { return false, nil }

func (i *instance) Freeze(context.Context) error {
	return errors.New("this instance cannot be held still")
}

func (i *instance) Kill(context.Context) error {
	i.crash()
	return nil
}

// peer is one connection that an instance has accepted.
type peer struct {
	i      *instance
	tcp    *net.TCPConn
	br     *bufio.Reader
	number int // which of the instance's connections
}

func (p *peer) generation() uint64 { return p.i.generation }
func (p *peer) crash()             { p.i.crash() }

func (p *peer) close() {
	p.i.mu.Lock()
	defer p.i.mu.Unlock()
	delete(p.i.open, p.tcp)
	_ = p.tcp.Close()
}

func (p *peer) reset() {
	_ = p.tcp.SetLinger(0)
	p.close()
}

// head reads one request's head, to the byte, and takes note of it. It is nil
// when there is none.
func (p *peer) head() *head {
	var raw bytes.Buffer
	for {
		line, err := p.br.ReadSlice('\n')
		raw.Write(line)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil
		}
		if len(line) == 2 {
			break
		}
	}
	h := &head{raw: raw.String()}
	lines := strings.Split(strings.TrimSuffix(h.raw, "\r\n\r\n"), "\r\n")
	h.line, h.fields = lines[0], lines[1:]
	if words := strings.Split(h.line, " "); len(words) > 1 {
		h.method, h.path = words[0], words[1]
		p.i.rt.saw(h.path, p.generation())
	}
	return h
}

// head is a request's head as it came.
type head struct {
	raw, line, method, path string
	fields                  []string
}

// get is the value of a field, all of them joined by "|".
func (h *head) get(name string) string {
	var values []string
	for _, f := range h.fields {
		if n, v, ok := strings.Cut(f, ": "); ok && strings.EqualFold(n, name) {
			values = append(values, v)
		}
	}
	return strings.Join(values, "|")
}

// body reads a body as the head says it is framed.
func (p *peer) body(h *head) ([]byte, http.Header, error) {
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(h.raw), p.br)))
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(r.Body)
	return b, r.Trailer, err
}

func (p *peer) read(n int) string {
	b := make([]byte, n)
	m, _ := io.ReadFull(p.br, b)
	return string(b[:m])
}

func (p *peer) write(s string) { _, _ = io.WriteString(p.tcp, s) }

// answer writes a whole answer that keeps the connection.
func (p *peer) answer(status int, body string) {
	p.write(fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body))
}

// gone waits until the other side has closed.
func (p *peer) gone() { _, _ = io.Copy(io.Discard, p.br) }

// serveAll answers every request on a connection with its generation.
func serveAll(p *peer) {
	for {
		h := p.head()
		if h == nil {
			return
		}
		if _, _, err := p.body(h); err != nil {
			return
		}
		p.answer(200, fmt.Sprint("generation ", p.generation()))
	}
}

// tally is a Recorder.
type tally struct {
	mu            sync.Mutex
	outcomes      map[Outcome]int
	problems      map[string]int
	notReplayable map[string]int
	replays       int
	inFlight      atomic.Int64
	kept          atomic.Int64
	sockets       atomic.Int64
}

func add[K comparable](t *tally, m *map[K]int, k K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if *m == nil {
		*m = map[K]int{}
	}
	(*m)[k]++
}

func (t *tally) Request(o Outcome)       { add(t, &t.outcomes, o) }
func (t *tally) Problem(code string)     { add(t, &t.problems, code) }
func (t *tally) NotReplayable(r string)  { add(t, &t.notReplayable, r) }
func (t *tally) HeldFor(time.Duration)   {}
func (t *tally) Replay()                 { t.mu.Lock(); t.replays++; t.mu.Unlock() }
func (t *tally) KeptBytes(delta int64)   { t.kept.Add(delta) }
func (t *tally) InFlight(delta int)      { t.inFlight.Add(int64(delta)) }
func (t *tally) WebSockets(delta int)    { t.sockets.Add(int64(delta)) }
func (t *tally) outcome(o Outcome) int   { t.mu.Lock(); defer t.mu.Unlock(); return t.outcomes[o] }
func (t *tally) problem(code string) int { t.mu.Lock(); defer t.mu.Unlock(); return t.problems[code] }
func (t *tally) reason(r string) int     { t.mu.Lock(); defer t.mu.Unlock(); return t.notReplayable[r] }

// client is a raw connection to the server under test.
type client struct {
	t  testing.TB
	c  net.Conn
	br *bufio.Reader
}

func (w *world) dial() *client {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	return newClient(w.t, c)
}

func newClient(t testing.TB, c net.Conn) *client {
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{t: t, c: c, br: bufio.NewReader(c)}
}

func (c *client) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.c, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads a whole answer; method is that of the request.
func (c *client) answer(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("cannot read the answer: %v", err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("cannot read the answer's body: %v", err)
	}
	return resp, string(b)
}

// ask sends a request and reads the answer.
func (c *client) ask(request string) (*http.Response, string) {
	c.t.Helper()
	c.write(request)
	method, _, _ := strings.Cut(request, " ")
	return c.answer(method)
}

// closed waits for the end of the connection, and tells how it ended.
func (c *client) closed() error {
	_, err := io.Copy(io.Discard, c.br)
	return err
}

// code is the code of a problem document.
func code(t *testing.T, resp *http.Response, body string) string {
	t.Helper()
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("status %d with Content-Type %q, want a problem document; body: %.200s", resp.StatusCode, ct, body)
	}
	var d struct {
		Code   string
		Status int
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	if d.Status != resp.StatusCode {
		t.Errorf("the problem document says status %d, the answer %d", d.Status, resp.StatusCode)
	}
	return d.Code
}

// httpClient makes a client of one of the protocols "h1", "h2c" and "h2".
func (w *world) httpClient(protocol string) (*http.Client, string) {
	var ps http.Protocols
	scheme := "http://"
	tr := &http.Transport{Protocols: &ps, DisableCompression: true}
	switch protocol {
	case "h1":
		ps.SetHTTP1(true)
	case "h2c":
		ps.SetUnencryptedHTTP2(true)
	case "h2":
		ps.SetHTTP2(true)
		tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		scheme = "https://"
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}, scheme + w.addr
}

// testTLS is a certificate for this test.
func testTLS(t *testing.T) *tls.Config {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return &tls.Config{Certificates: s.TLS.Certificates}
}

// eachProtocol runs a test with a client of each protocol.
func eachProtocol(t *testing.T, script func(*peer), test func(t *testing.T, w *world, c *http.Client, url string), change ...func(*setting)) {
	for _, protocol := range []string{"h1", "h2c", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			all := change
			if protocol == "h2" {
				conf := testTLS(t)
				all = append(append([]func(*setting){}, change...), func(s *setting) { s.tls = conf })
			}
			w := newWorld(t, script, all...)
			c, url := w.httpClient(protocol)
			test(t, w, c, url)
		})
	}
}

// fetch sends a request and reads the answer.
func fetch(t *testing.T, c *http.Client, method, url string, body io.Reader, fields ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		r.Header.Add(fields[i], fields[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("cannot read the answer to %s %s: %v", method, url, err)
	}
	return resp, string(b)
}
