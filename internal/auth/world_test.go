package auth

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/config"
	"creel/internal/event"
)

func TestMain(m *testing.M) {
	newHash.memory = 64 // KiB; the race detector makes 64 MiB a second's work
	goleak.VerifyTestMain(m)
}

// world is a gate in front of a gateway that tells what it was asked.
type world struct {
	t      *testing.T
	gate   *Gate
	server *httptest.Server
	dir    string

	mu     sync.Mutex
	asked  []http.Header // what reached the gateway
	events []event.Event
}

func (w *world) Record(e event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) count(kind event.Kind) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, e := range w.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// reached is how many requests the gateway got.
func (w *world) reached() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

func (w *world) last() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.asked) == 0 {
		w.t.Fatal("nothing has reached the gateway")
	}
	return w.asked[len(w.asked)-1]
}

// ownRoutes stand for those of the API and the pages: one of each sort.
func ownRoutes() []Route {
	say := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p := From(r.Context())
			fmt.Fprintf(w, "%s for %s (%s)", what, p.Name, p.Kind)
		})
	}
	return []Route{
		{Pattern: "GET /_creel/healthz", Handler: say("healthz")},
		{Pattern: "GET /_creel/status", Handler: say("status")},
		{Pattern: "GET /_creel/metrics", Needs: Read, Handler: say("metrics")},
		{Pattern: "GET /_creel/{$}", Needs: Read, Handler: say("overview"), Page: true},
		{Pattern: "GET /_creel/api/v1/events", Needs: Read, Handler: say("events")},
		{Pattern: "POST /_creel/api/v1/restart", Needs: Operate, Handler: say("restart")},
		{Pattern: "DELETE /_creel/api/v1/sessions/{id}", Needs: Admin, Handler: say("revoke")},
		{Pattern: "GET /api/status", Handler: say("moltworker status")},
		{Pattern: "POST /api/admin/restart", Needs: Operate, Handler: say("moltworker restart")},
	}
}

func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(t.TempDir(), "auth")}
	w.start(change)
	return w
}

// start makes the gate, on the folder that may have one's state already.
func (w *world) start(change func(*Options)) {
	w.t.Helper()
	cfg := config.Defaults()
	o := Options{Name: "gw", Dir: w.dir, Config: cfg.Auth, Listen: "127.0.0.1:8080", Journal: w, OpenGateway: func() string { return "/#token=of-the-gateway" },
		Home: "/_creel/", GatewayToken: func() string { return "gateway-token" }}
	if change != nil {
		change(&o)
	}
	gate, err := New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.gate = gate
	gateway := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.asked = append(w.asked, r.Header.Clone())
		w.mu.Unlock()
		if r.URL.Path == "/stream" {
			http.NewResponseController(rw).Flush()
			<-r.Context().Done()
			return
		}
		fmt.Fprint(rw, "the gateway")
	})
	w.server = httptest.NewUnstartedServer(gate.Handler(ownRoutes(), gateway))
	w.server.Config.BaseContext = nil
	w.server.Start()
	w.t.Cleanup(func() {
		w.server.Close()
		if err := gate.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

// request is a request and what is to be changed about it.
type request struct {
	method, path string
	form         url.Values
	body         string
	header       http.Header
	host         string
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %s %v", a.status, a.body, a.header) }

func (w *world) do(r request) answer {
	w.t.Helper()
	var body io.Reader = strings.NewReader(r.body)
	if r.form != nil {
		body = strings.NewReader(r.form.Encode())
	}
	req, err := http.NewRequestWithContext(w.t.Context(), r.method, w.server.URL+r.path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if r.host != "" {
		req.Host = r.host
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.read(resp)
}

func (w *world) read(resp *http.Response) answer {
	w.t.Helper()
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (w *world) get(path string, header http.Header) answer {
	w.t.Helper()
	return w.do(request{method: "GET", path: path, header: header})
}

var codeIn = regexp.MustCompile(`code=([A-Z0-9]+)`)

// signIn follows a fresh link, and gives the cookie.
func (w *world) signIn() http.Header {
	w.t.Helper()
	path, _, err := w.gate.LoginLink(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	a := w.do(request{method: "POST", path: LoginPath, form: url.Values{"code": {codeIn.FindStringSubmatch(path)[1]}}})
	if a.status != http.StatusSeeOther {
		w.t.Fatalf("signing in: %v", a)
	}
	return cookieOf(w.t, a)
}

func cookieOf(t *testing.T, a answer) http.Header {
	t.Helper()
	set := a.header["Set-Cookie"]
	if len(set) != 1 {
		t.Fatalf("no cookie: %v", a)
	}
	pair, _, _ := strings.Cut(set[0], ";")
	return http.Header{"Cookie": {pair}}
}

func (w *world) token(scopes ...Scope) http.Header {
	w.t.Helper()
	secret, _, err := w.gate.CreateToken("test", scopes, time.Time{})
	if err != nil {
		w.t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + secret.Reveal()}}
}

func with(h http.Header, more ...string) http.Header {
	h = h.Clone()
	if h == nil {
		h = http.Header{}
	}
	for i := 0; i < len(more); i += 2 {
		h.Set(more[i], more[i+1])
	}
	return h
}
