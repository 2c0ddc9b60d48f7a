package state

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/internal/snapshot/storetest"
	"creel/test/harness"
)

type status = api.Status

// killGateway ends an instance that no creel looks after, and waits for its end.
func (h *home) killGateway(pid int) {
	h.T.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		h.T.Fatal(err)
	}
	harness.Poll(h.T, "the gateway's end", func() bool { return len(harness.ProcessesOf(h.T, h.State)) == 0 }, h.Output.String)
}

// bucket starts an S3 server with a bucket, and gives what creel.yaml says of it.
func bucket(t *testing.T) (*storetest.Server, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "buckets", "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	srv := storetest.StartServer(t, filepath.Join(dir, "buckets"))
	return srv, s3Settings(t, srv.Addr, storetest.AccessKey, storetest.SecretKey)
}

func s3Settings(t *testing.T, addr, access, secret string) string {
	t.Helper()
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, fmt.Appendf(nil, "access_key_id=%s\nsecret_access_key=%s\n", access, secret), 0o600); err != nil {
		t.Fatal(err)
	}
	// Who owns the gateway has tests of its own (test/crash).
	return fmt.Sprintf("snapshots:\n  owner: off\n  store: {kind: s3, bucket: bucket, region: us-east-1, endpoint: 'http://%s', credentials: %s}\n", addr, credentials)
}

// TestAnotherMachine: another data folder, the same bucket, the same key.
func TestAnotherMachine(t *testing.T) {
	t.Parallel()
	_, settings := bucket(t)
	h := start(t, settings)
	saved := h.exported(h.take().ID)
	key := h.must("snapshot", "key", "export")
	h.Stop()
	other := prepare(t, settings)
	if r := other.creelWith(key, "snapshot", "key", "import"); r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	other.Launch()
	other.WaitFor("the gateway to be ready", harness.Ready)
	other.Stop()
	if n := other.check(other.State); n < saved {
		t.Errorf("the state is at %d, and was saved at %d", n, saved)
	}
}

// TestStoreDown: a state that is missing, and a store that cannot be used. The
// gateway is not started without; the status says why and what to do, and that
// works.
//
// moltworker: "good backup overwritten by an empty one", "blank start after failed
// restore", "backup impossible while gateway down; 500 without reason", "no backup at
// all after a failed snapshot".
func TestStoreDown(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(t *testing.T, h *home) (down, up func()){
		"a folder that is away": func(t *testing.T, h *home) (down, up func()) {
			dir := filepath.Join(t.TempDir(), "store")
			h.configure(fmt.Sprintf("snapshots: {store: {path: %s}}\n", dir))
			rename := func(from, to string) {
				if err := os.Rename(from, to); err != nil {
					t.Fatal(err)
				}
			}
			return func() {
					rename(dir, dir+".away")
					if err := os.WriteFile(dir, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}, func() {
					if err := os.Remove(dir); err != nil {
						t.Fatal(err)
					}
					rename(dir+".away", dir)
				}
		},
		"a bucket that refuses": func(t *testing.T, h *home) (down, up func()) {
			srv, settings := bucket(t)
			h.configure(settings)
			credentials := credentialsIn(settings)
			write := func(secret string) {
				if err := os.WriteFile(credentials, fmt.Appendf(nil, "access_key_id=%s\nsecret_access_key=%s\n", storetest.AccessKey, secret), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_ = srv
			return func() { write("wrong") }, func() { write(storetest.SecretKey) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := prepare(t, "")
			down, up := make(t, h)
			h.Launch()
			h.WaitFor("the gateway to be ready", harness.Ready)
			s := h.take()
			h.Stop()
			if err := os.RemoveAll(h.State); err != nil {
				t.Fatal(err)
			}
			down()
			h.Launch()
			st := h.WaitFor("the launch to be refused", func(st status) bool {
				return (st.State == gateway.Failed || st.State == gateway.Backoff) && st.LastEnd != nil && st.LastEnd.Cause == gateway.CauseRestore
			})
			if !strings.Contains(st.LastEnd.Message, "missing and cannot be restored") || !strings.Contains(st.LastEnd.Hint, "creel snapshot restore --or-fresh") || st.PID != 0 {
				t.Errorf("%+v", st.LastEnd)
			}
			if r := h.creel("status"); !strings.Contains(r.Out, "missing and cannot be restored") || !strings.Contains(r.Out, "--or-fresh") || !strings.Contains(r.Out, "not in place") {
				t.Errorf("%+v", r)
			}
			// Nothing of it is saved meanwhile, nor is it begun.
			if r := h.creel("snapshot", "create"); r.Code != 1 || !strings.Contains(r.Err, "not in place") {
				t.Errorf("%+v", r)
			}
			if list, err := os.ReadDir(h.State); len(list) > 0 {
				t.Errorf("the gateway has begun without a state: %v %v", list, err)
			}
			h.must("snapshot", "restore", "--or-fresh")
			h.WaitFor("the gateway to be ready", harness.Ready)
			up() // and the saved state is still there to be had
			h.must("snapshot", "restore", string(s.ID))
			h.WaitFor("the gateway to be ready", harness.Ready)
		})
	}
}

// credentialsIn is the credentials file that settings name.
func credentialsIn(settings string) string {
	_, rest, _ := strings.Cut(settings, "credentials: ")
	path, _, _ := strings.Cut(rest, "}")
	return path
}
