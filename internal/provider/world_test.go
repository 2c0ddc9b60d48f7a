package provider

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/config"
	"creel/internal/event"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "secrecy-") {
		os.Exit(secrecyHelper(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

const (
	realKey    = "sk-real-0123456789abcdefghij/+=KEY"
	aigKey     = "aig-token-ABCDEFGHIJ0123456789"
	testWait   = 20 * time.Second // for what happens at once
	openAIName = "openai"
)

// world is a provider, a creel and a gateway.
type world struct {
	t        testing.TB
	provider *httptest.Server
	proxy    *Proxy
	ledger   *Ledger
	place    *Place
	server   *Server
	served   chan error
	journal  *journal
	clock    *clock
	log      *bytes.Buffer
	seen     *seen
	client   *http.Client
	dir      string
}

// seen are the requests that have reached the provider.
type seen struct {
	mu   sync.Mutex
	list []*http.Request
	body []string
}

func (s *seen) add(r *http.Request, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list, s.body = append(s.list, r), append(s.body, body)
}

func (s *seen) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

func (s *seen) last(t testing.TB) (*http.Request, string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		t.Fatal("nothing has reached the provider")
	}
	return s.list[len(s.list)-1], s.body[len(s.body)-1]
}

type journal struct {
	mu   sync.Mutex
	list []event.Event
}

func (j *journal) Record(e event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, e)
}

func (j *journal) events() []event.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]event.Event(nil), j.list...)
}

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// lockedBuffer is a buffer for several writers.
type lockedWriter struct {
	mu sync.Mutex
	b  *bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

type setting func(*world, *Options)

func withBudgets(list ...Budget) setting { return func(_ *world, o *Options) { o.Budgets = list } }

func withFirstByte(d time.Duration) setting { return func(_ *world, o *Options) { o.FirstByte = d } }

// newWorld starts one. The provider is openai at /v1, anthropic at /, ollama at
// /o, google at /g and a Cloudflare AI Gateway at /v1/ACC/GW/anthropic, all with the same handler.
func newWorld(t testing.TB, handler http.HandlerFunc, settings ...setting) *world {
	t.Helper()
	w := &world{t: t, journal: &journal{}, clock: &clock{now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)}, log: &bytes.Buffer{}, seen: &seen{}, dir: t.TempDir()}
	w.provider = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // canceled
		}
		w.seen.add(r.Clone(context.Background()), string(body))
		handler(rw, r)
	}))
	w.start(settings...)
	t.Cleanup(func() {
		w.stop()
		w.provider.CloseClientConnections()
		w.provider.Close()
	})
	return w
}

func (w *world) providers() []*Provider {
	var list []*Provider
	for _, c := range []struct{ name, kind, path string }{
		{openAIName, config.ProviderOpenAI, "/v1"}, {"anthropic", config.ProviderAnthropic, ""}, {"ollama", config.ProviderOllama, "/o"},
		{"google", config.ProviderGoogle, "/g/v1beta"}, {"cloudflare", config.ProviderCloudflare, "/v1/ACC/GW/anthropic"},
	} {
		p, err := newProvider(c.name, c.kind, w.provider.URL+c.path)
		if err != nil {
			w.t.Fatal(err)
		}
		if c.kind != config.ProviderOllama {
			p.Key = keyFromVariable("KEY", realKey)
		}
		if c.kind == config.ProviderCloudflare {
			p.GatewayKey = keyFromVariable("AIG", aigKey)
		}
		list = append(list, p)
	}
	return list
}

func (w *world) start(settings ...setting) {
	w.t.Helper()
	var err error
	logger := slog.New(slog.NewTextHandler(&lockedWriter{b: w.log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if w.ledger, err = OpenLedger(LedgerOptions{Path: filepath.Join(w.dir, "usage.jsonl"), Now: w.clock.Now, Logger: logger}); err != nil {
		w.t.Fatal(err)
	}
	if w.place, err = OpenPlace(filepath.Join(w.dir, "place.json")); err != nil {
		w.t.Fatal(err)
	}
	l, _, err := w.place.Listen(0)
	if err != nil {
		w.t.Fatal(err)
	}
	o := Options{Gateway: "g", Providers: w.providers(), Credential: w.place.Credential, Ledger: w.ledger, FirstByte: testWait, Journal: w.journal, Logger: logger}
	if w.provider.TLS != nil {
		pool := x509.NewCertPool()
		pool.AddCert(w.provider.Certificate())
		o.TLS = &tls.Config{RootCAs: pool}
	}
	for _, s := range settings {
		s(w, &o)
	}
	w.proxy = New(o)
	w.server = NewServer(l, w.proxy, logger)
	w.served = make(chan error, 1)
	go func(s *Server, served chan error) { served <- s.Serve() }(w.server, w.served)
	w.client = &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (w *world) stop() {
	w.client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := w.server.Shutdown(ctx); err != nil {
		w.t.Error(err)
	}
	if err := <-w.served; err != nil {
		w.t.Error(err)
	}
	w.proxy.Close()
	w.ledger.Close()
}

func (w *world) restart(settings ...setting) {
	w.t.Helper()
	w.stop()
	w.start(settings...)
}

// request makes one as the gateway does.
func (w *world) request(method, path, body string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.place.URL(path), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.place.Credential.Reveal())
	return r
}

func (w *world) do(r *http.Request) (*http.Response, string) {
	w.t.Helper()
	resp, err := w.client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%v after %d bytes", err, len(body))
	}
	return resp, string(body)
}

// chat asks a model of openai.
func (w *world) chat(model string) (*http.Response, string) {
	w.t.Helper()
	return w.do(w.request(http.MethodPost, "openai/chat/completions", `{"model":"`+model+`","messages":[]}`))
}

// raw sends bytes and gives the first line of the answer.
func (w *world) raw(request string) string {
	w.t.Helper()
	c, err := net.Dial("tcp", w.server.Listener().Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(testWait)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		w.t.Errorf("%.200q: %v", request, err)
	}
	line, _, _ := strings.Cut(string(answer), "\r\n")
	return line
}

// usageOf waits until what was counted for a model holds.
func (w *world) usageOf(model string, holds func(ModelUsage) bool) ModelUsage {
	w.t.Helper()
	deadline := time.Now().Add(testWait)
	var last ModelUsage
	for time.Now().Before(deadline) {
		for _, u := range w.proxy.Usage() {
			if u.Model == model {
				if last = u; holds(u) {
					return u
				}
			}
		}
		time.Sleep(time.Millisecond) // polling, with a deadline
	}
	w.t.Fatalf("counted for %s: %+v", model, last)
	return last
}

// wantNoSecret looks for keys and the credential in what creel has written.
func (w *world) wantNoSecret(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		for _, secret := range []string{realKey, aigKey, w.place.Credential.Reveal()} {
			if strings.Contains(text, secret) {
				w.t.Errorf("a secret shows in %.300q", text)
			}
		}
	}
}
