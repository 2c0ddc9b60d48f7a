package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// memory is a store that keeps trees as they are and fails as it is told.
type memory struct {
	mu    sync.Mutex
	all   []kept
	fails map[string]error // by method; "open" is its opening
	calls []string
	check func(method string) // with each call, before it does anything
	read  func(path string)   // with each file of a snapshot that is read; may be nil
}

type kept struct {
	store.Snapshot
	entries []tree.Entry
	content map[string][]byte
}

var _ store.Store = (*memory)(nil)

func newMemory() *memory { return &memory{fails: map[string]error{}} }

// begin notes a call, and says whether it fails.
func (m *memory) begin(ctx context.Context, method string) error {
	m.mu.Lock()
	check := m.check
	m.calls = append(m.calls, method)
	err := m.fails[method]
	m.mu.Unlock()
	if check != nil {
		check(method)
	}
	return errors.Join(err, ctx.Err())
}

func (m *memory) fail(method string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fails[method] = err
}

func (m *memory) open(ctx context.Context) (store.Store, error) {
	if err := m.begin(ctx, "open"); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *memory) Save(ctx context.Context, t tree.Tree, meta store.Meta, _ store.ID, _ store.Progress) (store.Snapshot, error) {
	if err := m.begin(ctx, "save"); err != nil {
		return store.Snapshot{}, err
	}
	k := kept{Snapshot: store.Snapshot{Meta: meta, Marks: store.Marks{Shrunk: meta.Smaller}}, content: map[string][]byte{}}
	for e, err := range t.Walk(ctx) {
		if err != nil {
			return store.Snapshot{}, err
		}
		k.entries = append(k.entries, e)
		if e.Kind != tree.File || e.LinkTo != "" {
			continue
		}
		f, err := t.Open(ctx, e.Path)
		if err != nil {
			return store.Snapshot{}, err
		}
		b, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return store.Snapshot{}, err
		}
		k.content[e.Path] = b
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, k)
	return k.Snapshot, nil
}

func (m *memory) List(ctx context.Context, gateway string) ([]store.Snapshot, error) {
	if err := m.begin(ctx, "list"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []store.Snapshot
	for _, k := range m.all {
		if k.Gateway == gateway {
			list = append(list, k.Snapshot)
		}
	}
	slices.SortStableFunc(list, func(a, b store.Snapshot) int { return a.Time.Compare(b.Time) })
	return list, nil
}

func (m *memory) find(id store.ID) int {
	return slices.IndexFunc(m.all, func(k kept) bool { return k.ID == id })
}

func (m *memory) Open(ctx context.Context, id store.ID) (store.Files, error) {
	if err := m.begin(ctx, "files"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return nil, store.ErrNotFound
	}
	return memoryFiles{m.all[i], m.read}, nil
}

type memoryFiles struct {
	kept
	read func(path string)
}

func (f memoryFiles) Walk(context.Context) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		for _, e := range f.entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

func (f memoryFiles) Open(_ context.Context, path string) (io.ReadCloser, error) {
	if f.read != nil {
		f.read(path)
	}
	return io.NopCloser(bytes.NewReader(f.content[path])), nil
}
func (f memoryFiles) Snapshot() store.Snapshot { return f.kept.Snapshot }
func (f memoryFiles) Close() error             { return nil }

func (m *memory) Verify(ctx context.Context, id store.ID, _ float64, _ store.Progress) error {
	return m.begin(ctx, "verify")
}

func (m *memory) Mark(ctx context.Context, id store.ID, change func(*store.Marks)) error {
	if err := m.begin(ctx, "mark"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	if i < 0 {
		return store.ErrNotFound
	}
	change(&m.all[i].Marks)
	return nil
}

func (m *memory) Remove(ctx context.Context, ids ...store.ID) error {
	if err := m.begin(ctx, "remove"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = slices.DeleteFunc(m.all, func(k kept) bool { return slices.Contains(ids, k.ID) })
	return nil
}

func (m *memory) Check(ctx context.Context) error    { return m.begin(ctx, "check") }
func (m *memory) Maintain(ctx context.Context) error { return m.begin(ctx, "maintain") }
func (m *memory) Close(ctx context.Context) error    { return m.begin(ctx, "close") }

// world is a gateway with a state folder, a store and a supervisor.
type world struct {
	t       *testing.T
	Dir     string // the gateway's folder in creel's data folder
	State   string
	Store   *memory
	Sup     *supervisor
	Journal *journal
	Trouble map[Trouble]string
	mu      sync.Mutex // for Trouble
	App     [2]string  // version and configuration
	Set     func(*Options)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := memoryDir(t)
	w := &world{t: t, Dir: filepath.Join(dir, "gateway"), State: filepath.Join(dir, "state"), Store: newMemory(), Journal: &journal{}, Trouble: map[Trouble]string{}, App: [2]string{"", ""}}
	w.Sup = newSupervisor()
	return w
}

// keeper makes a keeper, as a creel does at its start. It is closed with the test.
func (w *world) keeper() *Keeper {
	w.t.Helper()
	o := Options{
		Gateway: "g", Dir: w.Dir, Roots: []store.Root{{Name: "state", Path: w.State}}, OpenStore: w.Store.open, Where: "memory",
		Supervisor: w.Sup, Journal: w.Journal, App: func() (string, string) { return w.App[0], w.App[1] },
		Freeze:   Freeze{Max: time.Minute}, // a machine may stand still for a while
		Settings: Settings{Schedule: Schedule{Settle: time.Minute, Every: 15 * time.Minute}, Keep: Keep{Last: 3}, ShrinkTo: 0.5},
		Trouble: func(kind Trouble, message string) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if message == "" {
				delete(w.Trouble, kind)
			} else {
				w.Trouble[kind] = message
			}
		},
	}
	if w.Set != nil {
		w.Set(&o)
	}
	k, err := New(o)
	must(w.t, err)
	w.Sup.mu.Lock()
	w.Sup.keeper = k
	w.Sup.mu.Unlock()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		must(w.t, k.Close(ctx))
	})
	return k
}

func (w *world) troubled(kind Trouble) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Trouble[kind]
}

// run has a keeper's Run go on until the test, or stop, ends.
func (w *world) run(k *Keeper) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	w.t.Cleanup(stop)
	return stop
}

// prepare is what a launch does first.
func (w *world) prepare(k *Keeper, generation uint64, last gateway.End) error {
	return k.Prepare(w.t.Context(), gateway.StillnessForTest(w.t), gateway.Preparation{Generation: generation, Last: last, Restoring: func() {}})
}

// write makes the state hold n files that say text.
func (w *world) write(n int, text string) {
	w.t.Helper()
	must(w.t, os.RemoveAll(w.State))
	must(w.t, os.MkdirAll(w.State, 0o755))
	for i := range n {
		must(w.t, os.WriteFile(filepath.Join(w.State, fmt.Sprintf("file%d", i)), []byte(text), 0o600))
	}
}

// says is what the state holds; "": it is missing.
func (w *world) says() string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.State, "file0"))
	if os.IsNotExist(err) {
		return ""
	}
	must(w.t, err)
	return string(b)
}

// take takes a snapshot.
func (w *world) take(k *Keeper) store.Snapshot {
	w.t.Helper()
	s, err := k.Create(w.t.Context(), Request{})
	must(w.t, err)
	return s
}

// memoryDir is a folder in memory, where there is one: most of the time of tests
// that die hundreds of times is that of fsync.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "creel-keeper-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// journal keeps events.
type journal struct {
	mu      sync.Mutex
	all     []event.Event
	settled func(last event.Event) // called when somebody waits for the journal; may be nil
}

func (j *journal) Settle(context.Context) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.settled != nil && len(j.all) > 0 {
		j.settled(j.all[len(j.all)-1])
	}
}

func (j *journal) Record(e event.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.all = append(j.all, e)
}

func (j *journal) count(kind event.Kind) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.all {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// supervisor launches instances as the real one does, and plays them.
type supervisor struct {
	mu      sync.Mutex
	keeper  *Keeper
	status  gateway.Status
	changed chan struct{}
	// boot says why the instance of that generation ends; "": it gets ready.
	boot    func(generation uint64) gateway.Cause
	givesUp bool          // with the first instance that fails
	frozen  func()        // while it is held still
	letGo   int           // how often it lets go too early
	unseen  chan struct{} // see Looked; nil: it was looked already
	err     error         // of Restart
	running sync.WaitGroup
}

func newSupervisor() *supervisor {
	return &supervisor{changed: make(chan struct{}), status: gateway.Status{State: gateway.Stopped}, boot: func(uint64) gateway.Cause { return "" }}
}

func (s *supervisor) Status() gateway.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// become changes the status.
func (s *supervisor) become(change func(*gateway.Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.status)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *supervisor) state(st gateway.State) {
	s.become(func(now *gateway.Status) { now.State = st })
}

func (s *supervisor) WaitFor(ctx context.Context, holds func(gateway.Status) bool) (gateway.Status, error) {
	for {
		s.mu.Lock()
		st, changed := s.status, s.changed
		s.mu.Unlock()
		if holds(st) {
			return st, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return st, context.Cause(ctx)
		}
	}
}

// Looked waits for unseen, if there is one.
func (s *supervisor) Looked(ctx context.Context) error {
	if s.unseen == nil {
		return nil
	}
	select {
	case <-s.unseen:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *supervisor) Still(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	if s.frozen != nil {
		s.frozen()
	}
	if err := do(ctx); err != nil || s.letGo == 0 {
		return time.Millisecond, err
	}
	s.letGo--
	return 0, gateway.ErrLetGo
}

func (s *supervisor) Restart(context.Context) error {
	if s.err != nil {
		return s.err
	}
	s.running.Go(func() { s.launch(gateway.End{Generation: s.Status().Generation, Cause: gateway.CauseAsked}) })
	return nil
}

// launch launches until an instance is ready or it gives up.
func (s *supervisor) launch(last gateway.End) {
	for {
		s.become(func(st *gateway.Status) { st.Generation++; st.State, st.PID = gateway.Starting, 0 })
		s.mu.Lock()
		g, k := s.status.Generation, s.keeper
		s.mu.Unlock()
		var still holder
		err := k.Prepare(context.Background(), gateway.StillnessForTest(&still), gateway.Preparation{Generation: g, Last: last, Restoring: func() { s.state(gateway.Restoring) }})
		still.end()
		if err != nil {
			s.become(func(st *gateway.Status) {
				st.State, st.LastEnd, st.Reason = gateway.Failed, &gateway.End{Generation: g, Cause: gateway.CauseRestore}, err.Error()
			})
			return
		}
		cause := s.boot(g)
		if cause == "" {
			s.become(func(st *gateway.Status) { st.State, st.PID = gateway.Ready, 1 })
			k.Ready(g)
			return
		}
		last = gateway.End{Generation: g, Cause: cause, Message: "it was killed by the test"}
		if s.givesUp {
			s.givesUp = false
			s.become(func(st *gateway.Status) { st.State, st.LastEnd, st.Reason = gateway.Failed, &last, "given up" })
			return
		}
	}
}

// holder is what a stillness ends with.
type holder struct{ ends []func() }

func (h *holder) Cleanup(f func()) { h.ends = append(h.ends, f) }
func (h *holder) end() {
	for _, f := range h.ends {
		f()
	}
}

// eventually polls.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
