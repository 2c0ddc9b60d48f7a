package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

func TestS3(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *storetest.Place {
		dir := t.TempDir()
		srv := storetest.StartServer(t, bucketDir(t, dir))
		return &storetest.Place{
			Open: func(ctx context.Context, machine int) (store.Store, error) {
				return store.Open(ctx, s3Options(dir, srv.Addr, machine))
			},
			Size: func() int64 { return sizeOf(t, srv.Dir) },
			// Time goes by on this machine and not on the server's, which a
			// repository takes for a clock that is wrong; that row is the folder's.
		}
	})
}

// bucketDir makes the server's folder with a bucket.
func bucketDir(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "buckets", "bucket"), 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "buckets")
}

func s3Options(dir, addr string, machine int) store.Options {
	o := folderOptions(dir, machine)
	o.Folder = ""
	o.Patience = longPatience
	o.S3 = &store.S3{
		Endpoint: addr, Bucket: "bucket", Prefix: "some/where", Region: "us-east-1", Plain: true,
		AccessKeyID: storetest.AccessKey, SecretKey: storetest.SecretKey,
	}
	return o
}

// faulty is a store on an S3 server behind a proxy that misbehaves.
type faulty struct {
	dir   string
	srv   *storetest.Server
	proxy *storetest.Proxy
	s     store.Store
	tree  *storetest.Tree
	kept  store.Snapshot
}

// longPatience is that of a store whose answers are expected to come, on a machine that
// may be busy.
const longPatience = 30 * time.Second

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	dir := t.TempDir()
	f := &faulty{dir: dir, srv: storetest.StartServer(t, bucketDir(t, dir)), tree: storetest.Everything()}
	f.proxy = storetest.NewProxy(t, f.srv.Addr)
	var err error
	o := s3Options(dir, f.proxy.Addr, 0)
	o.Patience = longPatience
	if f.s, err = store.Open(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.proxy.Set(nil)
		if err := f.s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	f.kept = storetest.Save(t, f.s, f.tree, storetest.Meta("g"), "")
	return f
}

// save saves something new and holds what is listed then, from another
// machine, to being whole.
func (f *faulty) save(t *testing.T) error {
	t.Helper()
	next := f.tree.Clone()
	next.File("state/new", storetest.Noise(uint64(time.Now().UnixNano()), 200_000))
	m := storetest.Meta("g")
	_, err := f.s.Save(t.Context(), next, m, f.kept.ID, nil)
	f.proxy.Set(nil)
	store.SetPatience(f.s, longPatience)
	other, openErr := store.Open(t.Context(), s3Options(f.dir, f.srv.Addr, 1))
	if openErr != nil {
		t.Fatal(openErr)
	}
	defer other.Close(context.Background())
	all, listErr := other.List(t.Context(), "")
	if listErr != nil {
		t.Fatal(listErr)
	}
	found := false
	for _, x := range all {
		found = found || x.ID == m.ID
		if err := other.Verify(t.Context(), x.ID, 1, nil); err != nil {
			t.Error(err)
		}
	}
	if found != (err == nil) {
		t.Errorf("the snapshot is listed: %v, and Save has said: %v", found, err)
	}
	storetest.Expect(t, other, f.kept.ID, f.tree)
	if err == nil {
		storetest.Expect(t, other, m.ID, next)
	}
	if err != nil {
		for _, secret := range []string{storetest.SecretKey, storetest.AccessKey} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("a credential is in %v", err)
			}
		}
	}
	return err
}

// some faults every nth request.
func some(n int, fault storetest.Fault) func(*http.Request) storetest.Fault {
	count := 0
	return func(*http.Request) storetest.Fault {
		if count++; count%n == 0 {
			return fault
		}
		return nil
	}
}

func writes(fault storetest.Fault, then func(int) bool) func(*http.Request) storetest.Fault {
	count := 0
	return func(r *http.Request) storetest.Fault {
		if r.Method != http.MethodPut {
			return nil
		}
		if count++; then(count) {
			return fault
		}
		return nil
	}
}

func odd(n int) bool  { return n%2 == 1 }
func ever(n int) bool { return true }

// TestPassingFaults holds Save to going on after what passes.
func TestPassingFaults(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*http.Request) storetest.Fault{
		"500":                    some(2, storetest.Answer(500, "InternalError")),
		"503":                    some(2, storetest.Answer(503, "ServiceUnavailable")),
		"slow down":              some(2, storetest.Answer(503, "SlowDown")),
		"request timeout":        some(2, storetest.Answer(400, "RequestTimeout")),
		"reset":                  some(2, storetest.Reset),
		"half an upload":         writes(storetest.HalfUpload, odd),
		"half a download":        some(2, storetest.HalfDownload),
		"answer lost":            writes(storetest.ResetAfterUpload, odd),
		"one that hangs":         writes(storetest.Hang, func(n int) bool { return n == 2 }),
		"an answer that is late": some(10, storetest.Late),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			store.SetPatience(f.s, 12*time.Second)
			f.proxy.Set(fault)
			before := f.proxy.Faulted()
			if err := f.save(t); err != nil {
				t.Error(err)
			}
			if f.proxy.Faulted() == before {
				t.Error("nothing went wrong: this proves nothing")
			}
		})
	}
}

// TestLastingFaults holds Save to giving up, in its time and in the right words.
func TestLastingFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  func(*http.Request) storetest.Fault
		access bool
	}{
		"hang":        {writes(storetest.Hang, ever), false},
		"500":         {writes(storetest.Answer(500, "InternalError"), ever), false},
		"reset":       {some(1, storetest.Reset), false},
		"half upload": {writes(storetest.HalfUpload, ever), false},
		"skew":        {some(1, storetest.Answer(403, "RequestTimeTooSkewed")), true},
		"denied":      {writes(storetest.Answer(403, "AccessDenied"), ever), true},
		"wrong key":   {some(1, storetest.Answer(403, "SignatureDoesNotMatch")), true},
		"token ended": {some(1, storetest.Answer(400, "ExpiredToken")), true},
		"full":        {writes(storetest.Answer(507, "InsufficientStorage"), ever), true},
		"quota":       {writes(storetest.Answer(403, "QuotaExceeded"), ever), true},
		"full late":   {writes(storetest.Answer(507, "InsufficientStorage"), func(n int) bool { return n > 3 }), true},
		"no bucket":   {some(1, storetest.Answer(404, "NoSuchBucket")), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFaulty(t)
			if !c.access {
				store.SetPatience(f.s, 2*time.Second)
			}
			f.proxy.Set(c.fault)
			before := f.proxy.Seen()
			err := f.save(t)
			if err == nil {
				t.Fatal("saved")
			}
			a, access := errors.AsType[*store.AccessError](err)
			if access != c.access || access && a.Hint == "" {
				t.Errorf("%v (hint %+v)", err, a)
			}
			if _, damaged := errors.AsType[*store.DamagedError](err); damaged {
				t.Errorf("taken for damage: %v", err)
			}
			if n := f.proxy.Seen() - before; access && n > 30 {
				t.Errorf("asked %d times in vain", n)
			}
			if err := f.save(t); err != nil {
				t.Errorf("after all is well again: %v", err)
			}
		})
	}
}

// TestServerKilled kills the server in the middle of a Save.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	store.SetPatience(f.s, 2*time.Second)
	var killed atomic.Bool
	f.proxy.Set(writes(func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if killed.CompareAndSwap(false, true) {
			f.srv.Kill()
		}
		storetest.Reset(w, r, pass)
	}, func(n int) bool { return n > 1 }))
	next := f.tree.Clone()
	next.File("state/new", storetest.Noise(77, 50_000))
	_, err := f.s.Save(t.Context(), next, storetest.Meta("g"), f.kept.ID, nil)
	if err == nil {
		t.Fatal("saved without a server")
	}
	f.srv.Restart()
	f.proxy.Set(nil)
	store.SetPatience(f.s, longPatience)
	if err := f.save(t); err != nil {
		t.Error(err)
	}
}

func TestS3Refuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := storetest.StartServer(t, bucketDir(t, dir))
	for name, change := range map[string]func(*store.Options){
		"no bucket":    func(o *store.Options) { o.S3.Bucket = "elsewhere" },
		"wrong secret": func(o *store.Options) { o.S3.SecretKey = "wrong-secret-key" },
		"wrong id":     func(o *store.Options) { o.S3.AccessKeyID = "wrong-access-id" },
	} {
		t.Run(name, func(t *testing.T) {
			o := s3Options(dir, srv.Addr, 0)
			change(&o)
			refusedOpen(t, o, "snapshot store")
		})
	}
	t.Run("foreign content", func(t *testing.T) {
		if err := os.MkdirAll(filepath.Join(srv.Dir, "bucket", "some", "where"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(srv.Dir, "bucket", "some", "where", "holiday.jpg"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		refusedOpen(t, s3Options(dir, srv.Addr, 0), "holiday.jpg")
	})
	t.Run("at once", func(t *testing.T) {
		stores := openAtOnce(t, func(i int) store.Options {
			o := s3Options(dir, srv.Addr, i)
			o.S3.Prefix = "fresh/"
			o.KeyFile += fmt.Sprint(i)
			return o
		})
		if len(stores) != 1 {
			t.Errorf("%d open", len(stores))
		}
	})
}
