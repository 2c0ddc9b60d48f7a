package crash

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/internal/snapshot/storetest"
	"creel/test/crashgw"
)

// The term is nearly as short as it may be with these stops: a renewal may be some
// seconds late on a busy machine.
const ownerSettings = `
gateway:
  name: shared
  ready: {path: /readyz, timeout: 20s}
  stop: {drain: 0s, grace: 1s}
  restart: {delay: 50ms, max_delay: 500ms, fruitless: 8}
snapshots:
  owner_term: 26s
  store:
    kind: s3
    bucket: bucket
    region: us-east-1
    endpoint: http://%s
    credentials: %s
    key: %s
`

// shared are creels, on what to them are different machines, that share a bucket
// and the name of a gateway.
type shared struct {
	t     *testing.T
	dir   string
	lives string
	srv   *storetest.Server
}

func newShared(t *testing.T) *shared {
	t.Helper()
	s := &shared{t: t, dir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(s.dir, "buckets", "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.srv = storetest.StartServer(t, filepath.Join(s.dir, "buckets"))
	s.lives = filepath.Join(s.dir, "lives")
	s.write("credentials", "access_key_id="+storetest.AccessKey+"\nsecret_access_key="+storetest.SecretKey+"\n")
	return s
}

func (s *shared) path(name string) string { return filepath.Join(s.dir, name) }

func (s *shared) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// machine is a creel whose way to the store is by addr.
func (s *shared) machine(addr string) *creel {
	s.t.Helper()
	c := prepare(s.t, crashgwOptions())
	if err := os.WriteFile(c.ConfigPath(), fmt.Appendf(nil, ownerSettings, addr, s.path("credentials"), s.path("key")), 0o600); err != nil {
		s.t.Fatal(err)
	}
	for i, a := range c.Args { // all gateways write into one file of lives
		c.Args[i] = strings.ReplaceAll(a, c.LivesPath, s.lives)
		if a == "--listen" {
			c.Args[i] = "--state=" + state(c)
			c.Args[i+1] = "--listen=" + c.Args[i+1]
		}
	}
	if err := os.MkdirAll(state(c), 0o700); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func state(c *creel) string { return filepath.Join(c.Dir, "state") }

// neverTwo: the lock that each gateway holds tells of two at once.
func (s *shared) neverTwo() {
	s.t.Helper()
	lives, err := crashgw.ReadLives(s.lives)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lives {
		if l.Kind == crashgw.LifeOverlap {
			s.t.Errorf("pid %d was started while pid %d lived", l.PID, l.Beside)
		}
	}
	if len(lives) < 2 {
		s.t.Errorf("only %d lives", len(lives))
	}
}

func refusedFor(causes ...gateway.Cause) func(api.Status) bool {
	return func(st api.Status) bool {
		for _, c := range causes {
			if st.State == gateway.Failed && st.LastEnd != nil && st.LastEnd.Cause == c {
				return true
			}
		}
		return false
	}
}

// TestOwner: a second creel refuses to start a gateway that another one has, takes
// it over when that one has died with it, with its state, and is not disturbed when
// the first comes back.
func TestOwner(t *testing.T) {
	s := newShared(t)
	a, b := s.machine(s.srv.Addr), s.machine(s.srv.Addr)
	a.Launch()
	a.WaitFor("the first to be ready", ready)
	if err := os.WriteFile(filepath.Join(state(a), "marker"), []byte("of the first"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Post("snapshots")

	b.Launch()
	st := b.WaitFor("the second to refuse", refusedFor(gateway.CauseOwnedElsewhere))
	if !strings.Contains(st.LastEnd.Message, a.DataDir()) || !strings.Contains(st.LastEnd.Hint, "take-over") {
		t.Errorf("it does not say who has it and what to do: %+v", st.LastEnd)
	}
	if st.Snapshots == nil || st.Snapshots.Owner == nil || st.Snapshots.Owner.Held || st.Snapshots.Owner.DataDir != a.DataDir() {
		t.Errorf("the status of the second: %+v", st.Snapshots)
	}
	resp, err := http.Get(b.URL("/item"))
	if err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body.String(), string(gateway.CodeOwnedElsewhere)) {
		t.Errorf("%s: %s %v", resp.Status, &body, err)
	}

	// creel alone dies, and comes back: its gateway stays, and the lease with it.
	before, err := a.Status()
	if err != nil {
		t.Fatal(err)
	}
	a.Kill()
	a.Launch()
	if st := a.WaitFor("the first to be back", ready); st.PID != before.PID || !st.Snapshots.Owner.Held {
		t.Errorf("pid %d became %d, the owner is %+v", before.PID, st.PID, st.Snapshots.Owner)
	}

	a.Kill()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	b.WaitFor("the second to take over", ready)
	if got, err := os.ReadFile(filepath.Join(state(b), "marker")); err != nil || string(got) != "of the first" {
		t.Errorf("the state of the first is not there: %q %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(state(b), "marker"), []byte("of the second"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Post("snapshots")

	a.Launch()
	a.WaitFor("the first to be refused", refusedFor(gateway.CauseOwnedElsewhere))
	if st := b.WaitFor("the second to be ready still", ready); st.Snapshots.Owner.Fence != 2 {
		t.Errorf("the owner is %+v", st.Snapshots.Owner)
	}

	// Stopped in good order it is given back, and the first goes on where the second
	// has left off.
	if code := b.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	a.WaitFor("the first to have it again", ready)
	if got, err := os.ReadFile(filepath.Join(state(a), "marker")); err != nil || string(got) != "of the second" {
		t.Errorf("the first goes on with an older state: %q %v", got, err)
	}
	s.neverTwo()
}

// TestOwnerCutOff: a creel that cannot reach the store any more has stopped its
// gateway before another starts it.
func TestOwnerCutOff(t *testing.T) {
	s := newShared(t)
	proxy := storetest.NewProxy(t, s.srv.Addr)
	a, b := s.machine(proxy.Addr), s.machine(s.srv.Addr)
	a.Launch()
	a.WaitFor("the first to be ready", ready)
	if err := os.WriteFile(filepath.Join(state(a), "marker"), []byte("of the first"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.Post("snapshots") // makes the key
	b.Launch()
	b.WaitFor("the second to refuse", refusedFor(gateway.CauseOwnedElsewhere))

	proxy.Set(func(*http.Request) storetest.Fault { return storetest.Hang })
	a.WaitFor("the first to give way", refusedFor(gateway.CauseOwnerUnknown))
	b.WaitFor("the second to take over", ready)
	if st, err := a.Status(); err != nil || st.StopAsked || len(st.Trouble) == 0 {
		t.Errorf("the status of the first: %+v %v", st, err)
	}
	proxy.Set(nil)
	a.WaitFor("the first to find out", refusedFor(gateway.CauseOwnedElsewhere))
	if code := b.Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	a.WaitFor("the first to start again by itself", ready)
	s.neverTwo()
}
