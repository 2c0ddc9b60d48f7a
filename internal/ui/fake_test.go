package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/history"
	"creel/internal/openclaw"
	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
	"creel/internal/telemetry"
)

// supervisor is a gateway whose state a test sets.
type supervisor struct {
	mu      sync.Mutex
	st      gateway.Status
	changed chan struct{}
	asked   []string
	err     error
}

func newSupervisor(st gateway.Status) *supervisor {
	return &supervisor{st: st, changed: make(chan struct{})}
}

func (s *supervisor) set(st gateway.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st = st
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *supervisor) Status() gateway.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.st
}

func (s *supervisor) WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error) {
	for {
		s.mu.Lock()
		st, changed := s.st, s.changed
		s.mu.Unlock()
		if holds(st) {
			return st, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}

func (s *supervisor) ask(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, what)
	return s.err
}

func (s *supervisor) was() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func (s *supervisor) Held() int                     { return 2 }
func (s *supervisor) Start(context.Context) error   { return s.ask("start") }
func (s *supervisor) Stop(context.Context) error    { return s.ask("stop") }
func (s *supervisor) Restart(context.Context) error { return s.ask("restart") }

// journal is a list of events.
type journal struct {
	mu      sync.Mutex
	list    []event.Event
	changed chan struct{}
}

func newJournal(list ...event.Event) *journal {
	j := &journal{changed: make(chan struct{})}
	for _, e := range list {
		j.add(e)
	}
	return j
}

func (j *journal) add(e event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.Seq = uint64(len(j.list) + 1)
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	j.list = append(j.list, e)
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *journal) Recent(n int) []event.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.list[max(0, len(j.list)-n):])
}

func (j *journal) Subscribe(ctx context.Context, after uint64) iter.Seq[event.Event] {
	return func(yield func(event.Event) bool) {
		for {
			j.mu.Lock()
			batch, changed := slices.Clone(j.list[min(int(after), len(j.list)):]), j.changed
			j.mu.Unlock()
			for _, e := range batch {
				after = e.Seq
				if !yield(e) {
					return
				}
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// desk has devices.
type desk struct {
	mu    sync.Mutex
	list  []openclaw.Device
	asked []string
	err   error
}

func (d *desk) List(context.Context) ([]openclaw.Device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list), d.err
}

func (d *desk) add(x openclaw.Device) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = slices.Insert(d.list, 0, x)
}

func (d *desk) do(what, id string, change func(*openclaw.Device) bool) (openclaw.Device, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, what+" "+id)
	if d.err != nil {
		return openclaw.Device{}, d.err
	}
	for i := range d.list {
		if d.list[i].ID == id {
			was := d.list[i]
			if !change(&d.list[i]) {
				d.list = slices.Delete(d.list, i, i+1)
			}
			return was, nil
		}
	}
	return openclaw.Device{}, &openclaw.DeviceError{Code: openclaw.DeviceUnknown, Message: "no device has an id that begins with " + id}
}

func (d *desk) Approve(_ context.Context, id string) (openclaw.Device, error) {
	return d.do("approve", id, func(x *openclaw.Device) bool { x.State = openclaw.DevicePaired; return true })
}
func (d *desk) Reject(_ context.Context, id string) (openclaw.Device, error) {
	return d.do("reject", id, func(*openclaw.Device) bool { return false })
}
func (d *desk) Revoke(_ context.Context, id string) (openclaw.Device, error) {
	return d.do("revoke", id, func(*openclaw.Device) bool { return false })
}
func (d *desk) Rename(_ context.Context, id, label string) (openclaw.Device, error) {
	return d.do("rename", id, func(x *openclaw.Device) bool { x.Label = label; return true })
}
func (d *desk) ApproveAll(ctx context.Context) ([]openclaw.Device, error) {
	list, err := d.List(ctx)
	var done []openclaw.Device
	for _, x := range list {
		if x.State == openclaw.DevicePending {
			if x, err = d.Approve(ctx, x.ID); err == nil {
				done = append(done, x)
			}
		}
	}
	return done, err
}

// cellar has snapshots.
type cellar struct {
	mu    sync.Mutex
	list  []store.Snapshot
	st    snapshot.Status
	files map[store.ID]map[string]string
	err   error
	asked []string
	hold  chan struct{} // not nil: what takes its time waits until it is closed
}

func (c *cellar) Status() snapshot.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st
}

func (c *cellar) List(context.Context) ([]store.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list), c.err
}

func (c *cellar) Find(_ context.Context, id store.ID) (store.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.list {
		if s.ID == id {
			return s, nil
		}
	}
	return store.Snapshot{}, fmt.Errorf("%w as %s", store.ErrNotFound, id)
}

func (c *cellar) wait(ctx context.Context, what string) error {
	c.mu.Lock()
	c.asked = append(c.asked, what)
	hold, err := c.hold, c.err
	c.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (c *cellar) was() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked)
}

func (c *cellar) Create(ctx context.Context, r snapshot.Request) (store.Snapshot, error) {
	if err := c.wait(ctx, "create "+r.Note); err != nil {
		return store.Snapshot{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := aSnapshot(len(c.list)+1, time.Now())
	s.Note = r.Note
	c.list = append(c.list, s)
	c.st.Last, c.st.LastAt = s.ID, s.Time
	return s, nil
}

func (c *cellar) change(what string, id store.ID, change func(*store.Snapshot)) (store.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, what+" "+string(id))
	for i := range c.list {
		if c.list[i].ID == id {
			change(&c.list[i])
			return c.list[i], nil
		}
	}
	return store.Snapshot{}, store.ErrNotFound
}

func (c *cellar) Verify(_ context.Context, id store.ID) (store.Snapshot, error) {
	return c.change("verify", id, func(s *store.Snapshot) { s.Verified = time.Now() })
}
func (c *cellar) Pin(_ context.Context, id store.ID, pinned bool) (store.Snapshot, error) {
	return c.change("pin", id, func(s *store.Snapshot) { s.Pinned = pinned })
}
func (c *cellar) Accept(_ context.Context, id store.ID) (store.Snapshot, error) {
	return c.change("accept", id, func(s *store.Snapshot) { s.Shrunk = "" })
}
func (c *cellar) Remove(ctx context.Context, id store.ID) (store.Snapshot, error) {
	s, err := c.change("remove", id, func(*store.Snapshot) {})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = slices.DeleteFunc(c.list, func(s store.Snapshot) bool { return s.ID == id })
	return s, err
}
func (c *cellar) Restore(ctx context.Context, r snapshot.RestoreRequest) (snapshot.Restored, error) {
	err := c.wait(ctx, "restore "+string(r.ID))
	return snapshot.Restored{ID: r.ID, Before: c.Status().Last}, err
}

func (c *cellar) Files(_ context.Context, id store.ID) (store.Files, error) {
	s, err := c.Find(context.Background(), id)
	if err != nil {
		return nil, err
	}
	return &box{s, c.files[id]}, nil
}

// box is the files of a snapshot, by path.
type box struct {
	s     store.Snapshot
	files map[string]string
}

func (b *box) Snapshot() store.Snapshot { return b.s }
func (b *box) Close() error             { return nil }
func (b *box) Open(_ context.Context, path string) (io.ReadCloser, error) {
	text, ok := b.files[path]
	if !ok || strings.HasSuffix(path, "/") {
		return nil, fmt.Errorf("no such file: %w", fs.ErrNotExist)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}
func (b *box) Walk(context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		paths := []string{}
		for p := range b.files {
			paths = append(paths, p)
		}
		slices.SortFunc(paths, func(a, c string) int {
			return tree.ComparePaths(strings.TrimSuffix(a, "/"), strings.TrimSuffix(c, "/"))
		})
		for _, p := range paths {
			e := tree.Entry{Path: strings.TrimSuffix(p, "/"), Kind: tree.File, Mode: 0o644, Size: int64(len(b.files[p])), ModTime: time.Unix(1_790_000_000, 0), Key: b.files[p]}
			if strings.HasSuffix(p, "/") {
				e.Kind, e.Mode, e.Size, e.Key = tree.Dir, 0o755, 0, ""
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// tail is a log.
type tail struct {
	mu    sync.Mutex
	lines []string
	more  chan string
}

func (l *tail) Tail(n int) ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines[max(0, len(l.lines)-n):]), nil
}

func (l *tail) Follow(ctx context.Context, n int, out io.Writer) error {
	lines, _ := l.Tail(n)
	if _, err := io.WriteString(out, strings.Join(lines, "\n")+"\n"); err != nil {
		return err
	}
	for {
		select {
		case line := <-l.more:
			if _, err := io.WriteString(out, line+"\n"); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// people are sessions and tokens.
type people struct {
	mu       sync.Mutex
	sessions []auth.Session
	tokens   []auth.Token
	passkeys []auth.Passkey
	password auth.Password
	open     bool
}

func (p *people) Sessions() []auth.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sessions)
}

func (p *people) Tokens() []auth.Token {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.tokens)
}

func (p *people) RevokeSession(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.sessions)
	p.sessions = slices.DeleteFunc(p.sessions, func(s auth.Session) bool { return s.ID == id })
	if len(p.sessions) == n {
		return errors.New("no such session")
	}
	return nil
}

func (p *people) RevokeToken(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens = slices.DeleteFunc(p.tokens, func(t auth.Token) bool { return t.ID == id })
	return nil
}

func (p *people) CreateToken(name string, scopes []auth.Scope, expires time.Time) (telemetry.Secret, auth.Token, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := auth.Token{ID: fmt.Sprint("t", len(p.tokens)+1), Name: name, Scopes: scopes, Created: time.Now(), Expires: expires}
	p.tokens = append(p.tokens, t)
	return "creel_made_up_secret_0123456789", t, nil
}

func (p *people) Open() bool        { return p.open }
func (p *people) Methods() []string { return []string{"link", "passkeys", "oidc"} }
func (p *people) PasskeyHost() string {
	if p.open {
		return ""
	}
	return "claw.example.org"
}

func (p *people) Password() auth.Password {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.password
}

func (p *people) SetPassword(_ context.Context, text string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(text) < 8 {
		return fmt.Errorf("too short: %w", auth.ErrInvalid)
	}
	p.password = auth.Password{Set: true, Since: time.Now()}
	return nil
}

func (p *people) RemovePassword(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.password = auth.Password{}
	return nil
}

func (p *people) Passkeys() []auth.Passkey {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.passkeys)
}

func (p *people) RemovePasskey(_ context.Context, id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passkeys = slices.DeleteFunc(p.passkeys, func(k auth.Passkey) bool { return k.ID == id })
	return nil
}

func (p *people) LoginLink(context.Context) (string, time.Time, error) {
	return "/_creel/login?key=made-up-0123456789", time.Now().Add(10 * time.Minute), nil
}

// measured is a made-up history.
type measured []history.Sample

func (m measured) Since(time.Time, time.Duration) []history.Sample { return m }

func aSnapshot(n int, at time.Time) store.Snapshot {
	s := store.Snapshot{Stored: int64(n) * 31_000}
	s.ID = store.ID(fmt.Sprintf("%s-%04x", at.UTC().Format("20060102T150405Z"), n))
	s.Gateway, s.Time, s.Reason, s.Lineage, s.Machine = "main", at, store.OnChange, "l1", "harbour"
	s.Generation, s.AppVersion, s.Frozen = 7, "2026.11.3", 8*time.Millisecond
	s.Roots = []store.Root{{Name: "state", Path: "/var/lib/openclaw"}}
	s.Totals = tree.Totals{Files: 1600 + int64(n), Dirs: 200, Bytes: 57<<20 + int64(n)<<18}
	s.Sampled = at.Add(time.Second)
	return s
}

// world is all that pages are made of.
type world struct {
	sup     *supervisor
	journal *journal
	desk    *desk
	cellar  *cellar
	tail    *tail
	people  *people
	health  []health.Report
	pending []config.Change
	opts    Options
}

// anna is an owner, who may do anything.
var anna = auth.Principal{Name: "anna@example.org", Kind: auth.KindSession, Scopes: auth.OwnerScopes, Session: "s1"}

// full is a world in which a lot has happened.
func full() *world {
	now := time.Now()
	w := &world{
		sup: newSupervisor(gateway.Status{
			Name: "main", State: gateway.Ready, Reason: "ready", Since: now.Add(-52 * time.Minute), StartedAt: now.Add(-52*time.Minute - 9*time.Second), Generation: 7, PID: 4711,
			Restarts: 2, UsualStart: 9 * time.Second,
			LastEnd: &gateway.End{Generation: 6, At: now.Add(-53 * time.Minute), Cause: gateway.CauseOOM, Message: "it was killed for want of memory: it had 2.0 GiB of 2.0 GiB", Hint: "It needs more memory than it may have: raise its limit (gateway.limits.memory), or give the machine more.", Log: []string{"[agent] compacting 41 messages", "<--- Last few GCs --->", "FATAL ERROR: Reached heap limit Allocation failed"}},
		}),
		desk: &desk{list: []openclaw.Device{
			{ID: strings.Repeat("a1", 32), State: openclaw.DevicePending, Name: "Chrome on Pixel 9", Platform: "Android", Client: "openclaw-control-ui", Address: "192.168.1.23", Role: "operator", Scopes: []string{"operator.admin", "operator.approvals"}, Since: now.Add(-90 * time.Second)},
			{ID: strings.Repeat("b2", 32), State: openclaw.DevicePending, Name: "iPad of Bert", Platform: "iPadOS", Client: "openclaw-ios", Address: "10.8.0.4", Role: "operator", Scopes: []string{"operator.read"}, Since: now.Add(-14 * time.Minute), Repair: true},
			{ID: strings.Repeat("c3", 32), State: openclaw.DevicePaired, Label: "Desk", Name: "Firefox on Linux", Platform: "Linux", Client: "openclaw-control-ui", Address: "127.0.0.1", Role: "operator", Scopes: []string{"operator.admin"}, Since: now.Add(-20 * 24 * time.Hour), LastSeen: now, Connected: true},
			{ID: strings.Repeat("d4", 32), State: openclaw.DevicePaired, Name: "MacBook Air", Platform: "macOS", Client: "openclaw-macos", Address: "192.168.1.40", Role: "node", Since: now.Add(-3 * 24 * time.Hour), LastSeen: now.Add(-7 * time.Hour)},
		}},
		tail: &tail{more: make(chan string)},
		people: &people{
			sessions: []auth.Session{
				{ID: "s1", Name: "anna@example.org", Method: "link", Scopes: auth.OwnerScopes, Created: now.Add(-48 * time.Hour), LastSeen: now, Expires: now.Add(28 * 24 * time.Hour), Address: "192.168.1.12", Agent: "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"},
				{ID: "s2", Name: "anna@example.org", Method: "passkey", Scopes: auth.OwnerScopes, Created: now.Add(-5 * time.Hour), LastSeen: now.Add(-2 * time.Hour), Expires: now.Add(25 * 24 * time.Hour), Address: "10.8.0.2", Agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X)"},
			},
			password: auth.Password{Set: true, Since: now.Add(-12 * 24 * time.Hour)},
			passkeys: []auth.Passkey{{ID: "k1", Name: "Pixel 9", Created: now.Add(-30 * 24 * time.Hour), LastUsed: now.Add(-5 * time.Hour)}, {ID: "k2", Name: "Blue security key", Created: now.Add(-2 * 24 * time.Hour)}},
			tokens:   []auth.Token{{ID: "t1", Name: "backup script", Scopes: []auth.Scope{auth.Read, auth.Operate}, Created: now.Add(-9 * 24 * time.Hour), LastUsed: now.Add(-6 * time.Hour), Expires: now.Add(80 * 24 * time.Hour)}},
		},
		health:  []health.Report{{Condition: health.LowSpace, Severity: health.Warning, Since: now.Add(-3 * time.Hour), Message: "the disk of the data folder will soon be full: 812 MiB are free", Hint: "remove what is not needed, or give it more room"}},
		pending: []config.Change{{Key: "gateway.limits.memory", Old: "2GiB", New: "4GiB", Needs: config.NeedsGatewayRestart}},
	}
	w.fillJournal(now)
	w.fillCellar(now)
	for i := range 260 {
		level := []string{"info", "info", "debug", "info", "warn", "info", "info", "error"}[i%8]
		w.tail.lines = append(w.tail.lines, fmt.Sprintf(`%s [gateway] %s: turn %d of agent main took %d ms`, now.Add(time.Duration(i-260)*time.Second).UTC().Format(time.RFC3339), level, i, 300+i*7%900))
	}
	var samples measured
	for i := range 360 {
		s := history.Sample{At: now.Add(time.Duration(i-360) * 10 * time.Second), Generation: 6, Used: true, Memory: int64(340<<20 + i*3<<20 + i%7<<20), CPU: .08 + float64(i%17)/60, Requests: float64(i%23) / 3}
		if i > 42 {
			s.Generation, s.Memory = 7, int64(310<<20+i<<19+i%5<<20)
		} else if i > 40 {
			s.Used, s.Generation = false, 0
		}
		samples = append(samples, s)
	}
	cfg := config.Defaults()
	cfg.DataDir, cfg.Gateway.Command, cfg.Gateway.Env = "/var/lib/creel", []string{"openclaw", "gateway"}, map[string]string{"ANTHROPIC_API_KEY": "sk-ant-made-up-key-000000000000"}
	w.opts = Options{
		Supervisor: w.sup, Journal: w.journal, Logs: w.tail, Devices: w.desk, Snapshots: w.cellar, History: samples, Identity: w.people,
		Health: func() []health.Report { return w.health }, Pending: func() []config.Change { return w.pending },
		Config: func() (*config.Config, *config.Sources) { return &cfg, nil },
		Doctor: func(context.Context) []Finding {
			return []Finding{{Check: "cgroup", Verdict: "ok", Message: "v2: a group of its own"}, {Check: "disk", Verdict: "warning", Message: "0.8 GiB free", Hint: "Installing OpenClaw takes 1.5 GiB."}}
		},
		Version: "1.2.3", StartedAt: now.Add(-5 * 24 * time.Hour), Listen: "127.0.0.1:8080", Admin: true,
	}
	return w
}

func (w *world) fillJournal(now time.Time) {
	at := func(ago time.Duration, e event.Event) event.Event {
		e.Time, e.Gateway = now.Add(-ago), "main"
		return e
	}
	w.journal = newJournal(
		at(50*time.Hour, event.Event{Kind: event.CreelStarted, Message: "creel 1.2.3 with pid 4100 listens on 127.0.0.1:8080"}),
		at(50*time.Hour, event.Event{Kind: event.Starting, Generation: 5, Message: "starting"}),
		at(50*time.Hour-9*time.Second, event.Event{Kind: event.Ready, Generation: 5, Message: "ready after 9.1s", Fields: map[string]any{"pid": 4120}}),
		at(49*time.Hour, event.Event{Kind: event.SnapshotTaken, Generation: 5, Message: "snapshot 20261124T041500Z-0001: 1601 files, 57.3 MiB", Fields: map[string]any{"reason": "change"}}),
		at(27*time.Hour, event.Event{Kind: event.ConfigChanged, Message: "gateway.hang.action was off and is restart"}),
		at(26*time.Hour, event.Event{Kind: "login", Message: "anna@example.org signed in by a link from 192.168.1.12"}),
		at(25*time.Hour, event.Event{Kind: event.DeviceApproved, Message: "MacBook Air was let in"}),
		at(3*time.Hour, event.Event{Kind: event.Degraded, Cause: "disk_space_low", Message: "the disk of the data folder will soon be full: 812 MiB are free", Fields: map[string]any{"hint": "remove what is not needed, or give it more room"}}),
		at(53*time.Minute+4*time.Second, event.Event{Kind: event.Exited, Generation: 6, Cause: "oom", Message: "it was killed for want of memory: it had 2.0 GiB of 2.0 GiB", Fields: map[string]any{"hint": "It needs more memory than it may have: raise its limit (gateway.limits.memory), or give the machine more.", "log": []string{"[agent] compacting 41 messages", "<--- Last few GCs --->", "FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory"}}}),
		at(53*time.Minute+3*time.Second, event.Event{Kind: event.Starting, Generation: 7, Message: "starting"}),
		at(52*time.Minute, event.Event{Kind: event.Ready, Generation: 7, Message: "ready after 9.2s", Fields: map[string]any{"pid": 4711}}),
		at(52*time.Minute-time.Second, event.Event{Kind: event.Replayed, Generation: 7, Message: "12 requests were sent again after generation 6 had ended"}),
		at(31*time.Minute, event.Event{Kind: event.SnapshotTaken, Generation: 7, Message: "snapshot taken: 1609 files, 59.2 MiB; held still for 8 ms"}),
	)
}

func (w *world) fillCellar(now time.Time) {
	w.cellar = &cellar{files: map[store.ID]map[string]string{}}
	var parent store.ID
	for i, ago := range []time.Duration{49 * time.Hour, 30 * time.Hour, 29 * time.Hour, 26 * time.Hour, 5 * time.Hour, 4 * time.Hour, 3 * time.Hour, 31 * time.Minute} {
		s := aSnapshot(i+1, now.Add(-ago))
		s.Parent, parent = parent, s.ID
		switch i {
		case 1:
			s.Reason, s.Note, s.Pinned, s.Verified = store.Asked, "before the new skills", true, s.Time.Add(time.Hour)
		case 2:
			s.Reason, s.Lineage = store.BeforeRestore, "l0"
		case 4:
			s.Reason, s.Damaged = store.OnInterval, "the content of state/agents/main/sessions.db cannot be read back"
		case 5:
			s.Shrunk, s.Totals.Bytes, s.Totals.Files = "it has 12.1 MiB where the one before had 58.2 MiB", 12<<20, 300
		}
		w.cellar.list = append(w.cellar.list, s)
		w.cellar.files[s.ID] = map[string]string{
			"state/": "", "state/openclaw.json": fmt.Sprintf(`{"n": %d}`, i/3), "state/agents/": "", "state/agents/main/": "", "state/agents/main/memory.md": fmt.Sprint("what it knows ", i),
			"state/<b>bold & co.txt": "x",
		}
		if i > 5 {
			w.cellar.files[s.ID]["state/workspace/"] = ""
			w.cellar.files[s.ID]["state/workspace/report.pdf"] = strings.Repeat("p", 4000)
		}
	}
	last := w.cellar.list[len(w.cellar.list)-1]
	w.cellar.st = snapshot.Status{Where: "/var/lib/creel/snapshots", Lineage: "l1", Began: "found", Last: last.ID, LastAt: last.Time, Files: last.Totals.Files, Bytes: last.Totals.Bytes, Parent: parent, Unsaved: now.Add(-4 * time.Minute)}
}
