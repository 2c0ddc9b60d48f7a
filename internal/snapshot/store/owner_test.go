package store_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/storetest"
)

// TestLedger is what every ledger does.
func TestLedger(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		testLedger(t, func(machine int) store.Options { return folderOptions(dir, machine) })
	})
	t.Run("s3", func(t *testing.T) {
		dir := t.TempDir()
		srv := storetest.StartServer(t, bucketDir(t, dir))
		testLedger(t, func(machine int) store.Options { return s3Options(dir, srv.Addr, machine) })
	})
}

func openLedger(t *testing.T, o store.Options) store.Ledger {
	t.Helper()
	l, err := store.OpenLedger(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func testLedger(t *testing.T, options func(machine int) store.Options) {
	ctx := t.Context()
	a, b := openLedger(t, options(1)), openLedger(t, options(2))

	t.Run("nothing", func(t *testing.T) {
		if value, version, err := a.Read(ctx, "nothing"); value != nil || version != "" || err != nil {
			t.Fatalf("%q %q %v", value, version, err)
		}
	})
	t.Run("conditions", func(t *testing.T) {
		first, err := a.Write(ctx, "v", []byte("one"), "")
		if err != nil {
			t.Fatal(err)
		}
		wantRead(t, b, "v", "one", first)
		if _, err := b.Write(ctx, "v", []byte("other"), ""); !errors.Is(err, store.ErrChanged) {
			t.Fatalf("a second first value: %v", err)
		}
		second, err := b.Write(ctx, "v", []byte("two"), first)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Write(ctx, "v", []byte("three"), first); !errors.Is(err, store.ErrChanged) {
			t.Fatalf("a write over a version that is no more: %v", err)
		}
		wantRead(t, a, "v", "two", second)
		if _, err := a.Write(ctx, "gone", []byte("x"), first); !errors.Is(err, store.ErrChanged) {
			t.Fatalf("a write over a value that is no more: %v", err)
		}
	})
	t.Run("many versions", func(t *testing.T) {
		version, early := "", ""
		for i := range 150 {
			var err error
			if version, err = a.Write(ctx, "many", []byte(fmt.Sprint(i)), version); err != nil {
				t.Fatal(err)
			}
			if i == 3 {
				early = version
			}
		}
		wantRead(t, b, "many", "149", version)
		if _, err := b.Write(ctx, "many", []byte("late"), early); !errors.Is(err, store.ErrChanged) {
			t.Fatalf("a write over a version of long ago: %v", err)
		}
		wantRead(t, a, "many", "149", version)
	})
	t.Run("one of many wins", func(t *testing.T) {
		version := ""
		for round := range 20 {
			version = race(t, []store.Ledger{a, b, a, b, a, b}, round, version)
		}
	})
	t.Run("a repository beside it", func(t *testing.T) {
		s, err := store.Open(ctx, options(1))
		if err != nil {
			t.Fatalf("a ledger keeps a repository from being made: %v", err)
		}
		if err := s.Close(context.WithoutCancel(ctx)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.OpenLedger(ctx, options(1)); err != nil {
			t.Fatal(err)
		}
	})
}

func wantRead(t *testing.T, l store.Ledger, name, want, version string) {
	t.Helper()
	value, got, err := l.Read(t.Context(), name)
	if err != nil || string(value) != want || got != version {
		t.Fatalf("read %q, version %q, %v; want %q, version %q", value, got, err, want, version)
	}
}

// race lets all write over one version at once, and returns the next version.
func race(t *testing.T, all []store.Ledger, round int, version string) string {
	t.Helper()
	var wg sync.WaitGroup
	versions, errs := make([]string, len(all)), make([]error, len(all))
	for i, l := range all {
		wg.Go(func() {
			versions[i], errs[i] = l.Write(t.Context(), "race", fmt.Appendf(nil, "round %d, writer %d", round, i), version)
		})
	}
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			t.Fatalf("round %d: writers %d and %d have both won", round, winner, i)
		case err == nil:
			winner = i
		case !errors.Is(err, store.ErrChanged):
			t.Fatalf("round %d, writer %d: %v", round, i, err)
		}
	}
	if winner < 0 {
		t.Fatalf("round %d: nobody has won", round)
	}
	wantRead(t, all[0], "race", fmt.Sprintf("round %d, writer %d", round, winner), versions[winner])
	return versions[winner]
}

// TestLedgerUnfit: a server that ignores conditions is found out.
func TestLedgerUnfit(t *testing.T) {
	for _, header := range []string{"If-None-Match", "If-Match"} {
		t.Run("ignores "+header, func(t *testing.T) {
			dir := t.TempDir()
			srv := storetest.StartServer(t, bucketDir(t, dir))
			proxy := storetest.NewProxy(t, srv.Addr)
			ignorant := &ignorant{header: header, objects: map[string][]byte{}}
			proxy.Set(func(*http.Request) storetest.Fault { return ignorant.answer })
			_, err := store.OpenLedger(t.Context(), s3Options(dir, proxy.Addr, 1))
			if unfit, ok := errors.AsType[*store.UnfitError](err); !ok || !strings.Contains(unfit.Error(), "snapshots.owner") {
				t.Fatalf("%v", err)
			}
		})
	}
	t.Run("refuses conditions", func(t *testing.T) {
		dir := t.TempDir()
		srv := storetest.StartServer(t, bucketDir(t, dir))
		proxy := storetest.NewProxy(t, srv.Addr)
		proxy.Set(func(r *http.Request) storetest.Fault {
			if r.Header.Get("If-None-Match") == "" {
				return nil
			}
			return storetest.Answer(http.StatusNotImplemented, "NotImplemented")
		})
		_, err := store.OpenLedger(t.Context(), s3Options(dir, proxy.Addr, 1))
		if _, ok := errors.AsType[*store.UnfitError](err); !ok {
			t.Fatalf("%v", err)
		}
	})
	t.Run("other kinds", func(t *testing.T) {
		o := folderOptions(t.TempDir(), 1)
		o.Folder, o.Other = "", &store.Other{Type: "sftp"}
		_, err := store.OpenLedger(t.Context(), o)
		if _, ok := errors.AsType[*store.UnfitError](err); !ok {
			t.Fatalf("%v", err)
		}
	})
}

// TestLedgerRefused: what a person must mend is told apart.
func TestLedgerRefused(t *testing.T) {
	dir := t.TempDir()
	srv := storetest.StartServer(t, bucketDir(t, dir))
	o := s3Options(dir, srv.Addr, 1)
	o.S3.SecretKey = "wrong"
	_, err := store.OpenLedger(t.Context(), o)
	if access, ok := errors.AsType[*store.AccessError](err); !ok || access.Hint == "" {
		t.Fatalf("%v", err)
	}
	if n := strings.Count(err.Error(), "cannot use the snapshot store"); n != 1 {
		t.Errorf("it says %d times that the store cannot be used: %v", n, err)
	}
	srv.Kill()
	if _, err = store.OpenLedger(t.Context(), s3Options(dir, srv.Addr, 1)); err == nil {
		t.Fatal("a ledger without a server")
	}
	if access, ok := errors.AsType[*store.AccessError](err); ok {
		t.Fatalf("a server that is away is no refusal: %v", access)
	}
}

// TestFolderLedgerAsleep: a writer that was asleep while its version and those
// after it were removed takes back what it has made.
func TestFolderLedgerAsleep(t *testing.T) {
	dir := t.TempDir()
	l := openLedger(t, folderOptions(dir, 1))
	version := ""
	for i := range 200 {
		var err error
		if version, err = l.Write(t.Context(), "v", []byte(fmt.Sprint(i)), version); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Follow(l, "v", []byte("asleep"), 4); !errors.Is(err, store.ErrChanged) { // as if it had looked long ago
		t.Fatal(err)
	}
	wantRead(t, l, "v", "199", version)
	left, err := filepath.Glob(filepath.Join(dir, "repository", "creel-owner", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 70 {
		t.Fatalf("%d files are kept", len(left))
	}
	if _, err := os.Stat(filepath.Join(dir, "repository", "creel-owner", "v.200")); err != nil {
		t.Fatal(err)
	}
}

// ignorant is a server that ignores a condition. What asks for it is signed, so
// that no real server can be made to by taking the header away.
type ignorant struct {
	header string

	mu      sync.Mutex
	objects map[string][]byte
}

func (s *ignorant) answer(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Header.Del(s.header)
	old, there := s.objects[r.URL.Path]
	tag := func(b []byte) string { return fmt.Sprintf("%q", fmt.Sprintf("%x", md5.Sum(b))) }
	switch r.Method {
	case http.MethodPut:
		if match := r.Header.Get("If-Match"); there && r.Header.Get("If-None-Match") != "" || match != "" && match != tag(old) {
			storetest.Answer(http.StatusPreconditionFailed, "PreconditionFailed")(w, r, nil)
			return
		}
		s.objects[r.URL.Path] = plain(body)
		w.Header().Set("ETag", tag(s.objects[r.URL.Path]))
	case http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("ETag", tag(old))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write(old)
	}
}

// plain is what is sent in signed chunks: SIZE;chunk-signature=…, and so many bytes.
func plain(body []byte) (all []byte) {
	for {
		head, rest, ok := bytes.Cut(body, []byte("\r\n"))
		size, _, signed := bytes.Cut(head, []byte(";"))
		if !ok || !signed {
			return append(all, body...)
		}
		n, err := strconv.ParseUint(string(size), 16, 31)
		if err != nil || n == 0 || int(n) > len(rest) {
			return all
		}
		all, body = append(all, rest[:n]...), bytes.TrimPrefix(rest[n:], []byte("\r\n"))
	}
}
