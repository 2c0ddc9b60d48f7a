package provider

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPlaceStays: the next creel listens at the same port and knows the same
// credential; where somebody else listens, that is said.
func TestPlaceStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "private", "place.json")
	open := func() *Place {
		t.Helper()
		p, err := OpenPlace(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := open()
	l, moved, err := first.Listen(0)
	if err != nil || moved != 0 {
		t.Fatal(moved, err)
	}
	if host, _, _ := net.SplitHostPort(l.Addr().String()); host != "127.0.0.1" || !strings.HasPrefix(first.URL("x"), "http://127.0.0.1:") {
		t.Errorf("it listens on %s", l.Addr())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	second := open()
	if second.Port != first.Port || second.Credential != first.Credential || len(first.Credential) < 64 {
		t.Errorf("%v became %v", first.Port, second.Port)
	}
	l, moved, err = second.Listen(0)
	if err != nil || moved != 0 || second.Port != first.Port {
		t.Fatal(moved, err)
	}
	defer l.Close()
	third := open()
	other, moved, err := third.Listen(0)
	if err != nil || moved != first.Port || third.Port == first.Port {
		t.Fatalf("moved from %d to %d, %v", moved, third.Port, err)
	}
	defer other.Close()
	if _, _, err := third.Listen(first.Port); err == nil || !strings.Contains(err.Error(), "providers.port") {
		t.Errorf("a port that was asked for and is taken: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	for _, damage := range []string{"", "nonsense", `{"port":99999,"credential":"short"}`} {
		write(t, path, damage)
		if p := open(); p.Port != 0 || len(p.Credential) < 64 || p.Credential == first.Credential {
			t.Errorf("after %q: port %d", damage, p.Port)
		}
	}
}

// TestDamagedPlace: it is made anew, and said to be lost; one that was never there is
// not.
func TestDamagedPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "place.json")
	fresh, err := OpenPlace(path)
	if err != nil || fresh.Lost != nil {
		t.Fatalf("a new one: %v, lost: %v", err, fresh.Lost)
	}
	if err := os.WriteFile(path, []byte(`{"port": 40000, "cred`), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := OpenPlace(path)
	if err != nil || again.Lost == nil || again.Credential == fresh.Credential {
		t.Errorf("a damaged one: %v, lost: %v", err, again.Lost)
	}
	if kept, err := OpenPlace(path); err != nil || kept.Lost != nil || kept.Credential != again.Credential {
		t.Errorf("the one made in its place is not kept: %v, lost: %v", err, kept.Lost)
	}
}
