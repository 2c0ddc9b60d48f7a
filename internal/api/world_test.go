package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/openclaw"
	"creel/internal/openclaw/upgrade"
	"creel/internal/provider"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
	"creel/internal/telemetry"
)

// world is an API with something behind each of its options.
type world struct {
	*API
	gateway *fake
	journal *event.Journal
	desk    *desk
	shelf   *shelf
	people  *people
	debug   bool
	bare    bool // next to nothing is known
}

// newBareWorld is a world at its beginning: no snapshot, no session, no device.
func newBareWorld(t *testing.T) *world {
	w := newWorld(t)
	w.bare = true
	w.gateway.status = gateway.Status{Name: "g", State: gateway.Stopped}
	w.shelf.list, w.people.sessions, w.people.tokens = nil, nil, nil
	w.desk.none = true
	w.opts.Health, w.opts.Pending = nil, nil
	w.opts.OpenClaw.Requests = func(context.Context) (json.RawMessage, error) {
		return json.RawMessage(`{"pending":null,"paired":null}`), nil
	}
	w.opts.OpenClaw.Config = func() ([]byte, error) { return nil, fs.ErrNotExist }
	return w
}

func newWorld(t *testing.T) *world {
	t.Helper()
	j, err := event.Open(event.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := j.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	j.Record(event.Event{Kind: event.Ready, Gateway: "g", Generation: 7, Message: "it answers"})
	now := time.Now().UTC()
	w := &world{
		gateway: &fake{status: gateway.Status{Name: "g", State: gateway.Ready, Reason: "ready", Generation: 7, PID: 42, Addr: "127.0.0.1:9", Since: now, StartedAt: now,
			LastEnd: &gateway.End{Generation: 6, At: now, Cause: gateway.CauseSignal, Message: "it was killed by SIGKILL", Log: []string{"last words"}}}},
		journal: j, desk: &desk{}, shelf: newShelf(), people: newPeople(), debug: true,
	}
	logPath := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(logPath, []byte("2026-11-26T05:00:00Z [gateway] INFO up\n2026-11-26T05:00:01Z [gateway] ERROR down\n  at line 1\nplain words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.API = New(Options{
		Gateway: w.gateway, Journal: j, LogPath: logPath, Version: "1.2.3", StartedAt: now, Listen: "127.0.0.1:8080",
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
		Link:     func() string { return "http://127.0.0.1:8080/#token=secret" },
		Upgrade:  func(context.Context) error { return nil },
		Versions: versions{},
		Providers: func() provider.Report {
			return provider.Report{
				Proxy: true, Model: "fake/one", Problems: []string{"a key cannot be read"},
				Providers: []provider.State{{Name: "fake", Kind: "openai", BaseURL: "https://fake.example/v1", KeyFrom: "key_file", Models: []string{"one"}, From: "creel.yaml"}},
				Budgets:   []provider.Spending{{Budget: provider.Budget{Provider: "fake", Requests: 10}, UsedRequests: 3, Resets: now}},
				Usage:     []provider.ModelUsage{{Day: "2026-11-26", Provider: "fake", Model: "one", Requests: 3, Errors: map[string]int64{"rate_limited": 1}, Answers: 2, FirstByte: time.Second}},
			}
		},
		Reload: func(context.Context) (Reload, error) {
			return Reload{}, nil // as of a daemon that has found no change
		},
		Health: func() []health.Report {
			return []health.Report{{Condition: health.LowSpace, Message: "little is left"}}
		},
		Pending: func() []config.Change {
			return []config.Change{{Key: "listen", Old: "a", New: "b", Needs: config.NeedsCreelRestart}}
		},
		Config:  func() (*config.Config, *config.Sources) { return loadConfig(t) },
		Doctor:  func(context.Context) []Finding { return []Finding{{Check: "disk", Verdict: "ok", Message: "much"}} },
		Devices: w.desk, Snapshots: w.shelf, Identity: w.people,
		OpenClaw: &OpenClaw{
			Requests: func(context.Context) (json.RawMessage, error) {
				return json.RawMessage(`{"pending":[{"requestId":"req-1","deviceId":"abcd","displayName":"Anna","ts":1}],"paired":[{"deviceId":"ffff","approvedAtMs":5}]}`), w.desk.err
			},
			Debug: func() bool { return w.debug }, Versions: func() (string, string) { return "2026.9.6", "24.1.0" },
			Config: func() ([]byte, error) {
				return []byte(`{"gateway":{"auth":{"token":"SECRET"}},"models":{"providers":{"x":{"apiKey":"SECRET","name":"fine"}}}}`), nil
			},
			Environ: func() map[string]bool { return map[string]bool{"OPENAI_API_KEY": true} },
		},
		Logger: newAPI(t, &fake{}, &journal{}).opts.Logger,
	})
	return w
}

func loadConfig(t *testing.T) (*config.Config, *config.Sources) {
	cfg, sources, err := config.Load(config.LoadOptions{Environ: []string{"HOME=" + os.TempDir(), "CREEL_GATEWAY_ENV_API_KEY=SECRET"}, Flags: []config.Flag{{Name: "the command line", Key: "gateway.command", Values: []string{"server"}}}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg, sources
}

// as serves the public door's table to somebody with these scopes.
func (w *world) as(scopes ...auth.Scope) http.Handler {
	return behindGate(w.API, auth.Principal{Name: "somebody", Kind: auth.KindSession, Scopes: scopes, Session: "s1"})
}

// behindGate lets somebody through to what they may, as the gate does once it knows
// who they are.
func behindGate(a *API, p auth.Principal) http.Handler {
	mux := http.NewServeMux()
	for _, r := range a.Routes() {
		mux.HandleFunc(r.Pattern, func(w http.ResponseWriter, req *http.Request) {
			if !p.May(r.Needs) {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			r.Handler.ServeHTTP(w, req.WithContext(auth.With(req.Context(), p)))
		})
	}
	return mux
}

// stranger is who has shown nothing.
var stranger = auth.From(context.Background())

// asks makes a request, with an Accept field and a JSON body if there are such.
func asks(t *testing.T, method, path, accept, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	if body != "" {
		r = httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", mediaJSON)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// people is an Identity.
type people struct {
	sessions []auth.Session
	tokens   []auth.Token
	password auth.Password
	passkeys []auth.Passkey
	err      error // of what changes them
}

func newPeople() *people {
	now := time.Now().UTC()
	return &people{
		sessions: []auth.Session{{ID: "s1", Name: "owner", Method: "link", Scopes: auth.OwnerScopes, Created: now, LastSeen: now, Expires: now.Add(time.Hour), Address: "127.0.0.1"}},
		tokens:   []auth.Token{{ID: "t1", Name: "old", Scopes: auth.ReaderScopes, Created: now}},
		password: auth.Password{Set: true, Since: now},
		passkeys: []auth.Passkey{{ID: "k1", Name: "phone", Created: now, LastUsed: now}, {ID: "k2", Name: "key", Created: now}},
	}
}

func (p *people) Sessions() []auth.Session { return p.sessions }
func (p *people) Tokens() []auth.Token     { return p.tokens }

func (p *people) RevokeSession(id string) error {
	if p.err != nil {
		return p.err
	}
	p.sessions = slices.DeleteFunc(slices.Clone(p.sessions), func(s auth.Session) bool { return s.ID == id })
	return nil
}

func (p *people) RevokeToken(id string) error {
	if p.err != nil {
		return p.err
	}
	p.tokens = slices.DeleteFunc(slices.Clone(p.tokens), func(t auth.Token) bool { return t.ID == id })
	return nil
}

func (p *people) CreateToken(name string, scopes []auth.Scope, expires time.Time) (telemetry.Secret, auth.Token, error) {
	if p.err != nil {
		return "", auth.Token{}, p.err
	}
	token := auth.Token{ID: "t2", Name: name, Scopes: scopes, Created: time.Now().UTC(), Expires: expires}
	p.tokens = append(p.tokens, token)
	return "creel_the-secret", token, nil
}

func (p *people) Password() auth.Password  { return p.password }
func (p *people) PasskeyHost() string      { return "localhost" }
func (p *people) Passkeys() []auth.Passkey { return p.passkeys }
func (p *people) SetPassword(context.Context, string) error {
	if p.err == nil {
		p.password = auth.Password{Set: true, Since: time.Now()}
	}
	return p.err
}

func (p *people) RemovePassword(context.Context) error {
	if p.err == nil {
		p.password = auth.Password{}
	}
	return p.err
}

func (p *people) RemovePasskey(_ context.Context, id string) error {
	if p.err == nil {
		p.passkeys = slices.DeleteFunc(slices.Clone(p.passkeys), func(k auth.Passkey) bool { return k.ID == id })
	}
	return p.err
}

func (p *people) LoginLink(context.Context) (string, time.Time, error) {
	return "/_creel/login?code=x", time.Now().Add(time.Minute), nil
}

// shelf is Snapshots, in memory: each has one file.
type shelf struct {
	mu     sync.Mutex
	list   []store.Snapshot
	err    error
	doing  []snapshot.Doing
	hold   chan struct{} // not nil: long calls wait for it
	begun  chan struct{} // closed when one waits
	asked  snapshot.RestoreRequest
	copies map[store.ID]string
	live   string // the present state
}

func newShelf() *shelf {
	s := &shelf{copies: map[store.ID]string{}, live: "one"}
	for _, id := range []store.ID{"20261126T010000Z-aaaa", "20261126T020000Z-bbbb"} {
		s.add(id)
	}
	return s
}

func (s *shelf) add(id store.ID) store.Snapshot {
	got := store.Snapshot{Meta: store.Meta{ID: id, Gateway: "g", Time: time.Now().UTC(), Reason: store.Asked, Lineage: "l", Machine: "m", Generation: 7,
		Roots: []store.Root{{Name: "home", Path: "/home"}}, Totals: tree.Totals{Files: 1, Bytes: int64(len(s.live))}}}
	s.list = append(s.list, got)
	s.copies[id] = s.live
	return got
}

func (s *shelf) wait() error {
	if s.hold != nil {
		close(s.begun)
		<-s.hold
	}
	return s.err
}

func (s *shelf) Status() snapshot.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 0 {
		return snapshot.Status{Where: "/snapshots"}
	}
	last := s.list[len(s.list)-1]
	return snapshot.Status{Where: "/snapshots", Lineage: "l", Last: last.ID, LastAt: last.Time, Files: 1, Bytes: 3, Doing: s.doing}
}

func (s *shelf) Create(_ context.Context, r snapshot.Request) (store.Snapshot, error) {
	if err := s.wait(); err != nil {
		return store.Snapshot{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.add("20261126T030000Z-cccc")
	got.Note = r.Note
	return got, nil
}

func (s *shelf) List(context.Context) ([]store.Snapshot, error) { return s.list, s.err }

func (s *shelf) Find(_ context.Context, id store.ID) (store.Snapshot, error) {
	for _, got := range s.list {
		if strings.HasPrefix(string(got.ID), string(id)) {
			return got, s.err
		}
	}
	return store.Snapshot{}, errors.Join(store.ErrNotFound, s.err)
}

func (s *shelf) Verify(ctx context.Context, id store.ID) (store.Snapshot, error) {
	if err := s.wait(); err != nil {
		return store.Snapshot{}, err
	}
	return s.Find(ctx, id)
}
func (s *shelf) Pin(ctx context.Context, id store.ID, pinned bool) (store.Snapshot, error) {
	got, err := s.Find(ctx, id)
	got.Pinned = pinned
	return got, err
}
func (s *shelf) Accept(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return s.Find(ctx, id)
}
func (s *shelf) Remove(ctx context.Context, id store.ID) (store.Snapshot, error) {
	got, err := s.Find(ctx, id)
	if err == nil && got.ID == s.list[len(s.list)-1].ID {
		return got, &snapshot.KeptError{ID: got.ID, Why: "it is the last good one"}
	}
	return got, err
}

func (s *shelf) Prune(context.Context, bool) ([]snapshot.Kept, error) {
	return []snapshot.Kept{{Snapshot: s.list[0]}, {Snapshot: s.list[1], Why: []string{"last"}}}, s.err
}

func (s *shelf) Restore(ctx context.Context, r snapshot.RestoreRequest) (snapshot.Restored, error) {
	s.asked = r
	if err := s.wait(); err != nil {
		return snapshot.Restored{}, err
	}
	got, err := s.Find(ctx, r.ID)
	s.live = s.copies[got.ID]
	return snapshot.Restored{ID: got.ID, Before: s.list[0].ID}, err
}

func (s *shelf) TakeOver(context.Context) error { return s.err }

func (s *shelf) Files(ctx context.Context, id store.ID) (store.Files, error) {
	got, err := s.Find(ctx, id)
	return oneFile{got, s.copies[got.ID]}, err
}

// oneFile is a tree with one file.
type oneFile struct {
	snapshot store.Snapshot
	content  string
}

func (f oneFile) Walk(context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		if yield(tree.Entry{Path: "home", Kind: tree.Dir, Mode: 0o700, ModTime: f.snapshot.Time}, nil) {
			yield(tree.Entry{Path: "home/note.txt", Kind: tree.File, Mode: 0o644, Size: int64(len(f.content)), ModTime: f.snapshot.Time, Key: f.content}, nil)
		}
	}
}

func (f oneFile) Open(_ context.Context, path string) (io.ReadCloser, error) {
	if path != "home/note.txt" {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(f.content)), nil
}
func (f oneFile) Snapshot() store.Snapshot { return f.snapshot }
func (f oneFile) Close() error             { return nil }

var _ Snapshots = (*shelf)(nil)
var _ Devices = (*desk)(nil)
var _ Devices = deviceDesk{}

// deviceDesk is the real thing, over a connection.
type deviceDesk struct{ openclaw.Devices }

// versions are those of an OpenClaw whose upgrades come out well.
type versions struct{}

func (versions) Versions() (OpenClawVersions, error) {
	return OpenClawVersions{
		Installed: []openclaw.InstalledVersion{{Version: "2026.9.6", Node: "24.1.0", Dir: "/d", Whole: true, Used: true, Tested: true}},
		Used:      "2026.9.6",
		Trial:     &openclaw.Trial{From: "2026.9.6", To: "2026.9.7", Phase: "trial", Snapshot: "20261126T01", Reason: "none"},
		Last:      &openclaw.UpgradeReport{From: "2026.9.5", To: "2026.9.6", OK: true, Took: time.Minute},
	}, nil
}

func (versions) Upgrade(_ context.Context, r upgrade.Request, progress func(upgrade.Step)) (openclaw.UpgradeReport, error) {
	progress(upgrade.Step{Step: "install", Message: "Version " + r.Version + " is installed."})
	return openclaw.UpgradeReport{From: "2026.9.6", To: r.Version, OK: false, Reason: "it never got ready", Snapshot: "20261126T01"}, nil
}
