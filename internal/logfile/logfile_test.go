package logfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTail(t *testing.T) {
	long := strings.Repeat("x", 3*perLine)
	for _, test := range []struct {
		name, content string
		n             int
		want          []string
	}{
		{"empty", "", 5, nil},
		{"fewer than asked for", "a\nb\n", 5, []string{"a", "b"}},
		{"more than asked for", "a\nb\nc\n", 2, []string{"b", "c"}},
		{"last line unfinished", "a\nb", 5, []string{"a", "b"}},
		{"carriage returns", "a\r\nb\r\n", 5, []string{"a", "b"}},
		{"blank lines count", "a\n\nb\n", 2, []string{"", "b"}},
		{"a cut first line is left out", long + "\nb\n", 2, []string{"b"}},
		{"none asked for", "a\n", 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Tail(path, test.n)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestTailOfNothing(t *testing.T) {
	if got, err := Tail(filepath.Join(t.TempDir(), "none"), 5); got != nil || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Tail(t.TempDir(), 5); err == nil {
		t.Error("a folder was read")
	}
}

// output collects what Follow writes, and tells of each write.
type output struct {
	mu    sync.Mutex
	b     bytes.Buffer
	wrote chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.b.Write(p)
	select {
	case o.wrote <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) waitFor(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		o.mu.Lock()
		got := o.b.String()
		o.mu.Unlock()
		if got == want {
			return
		}
		select {
		case <-o.wrote:
		case <-deadline:
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// TestFollow: the file is written to, truncated as its rotation does, and
// written to again; before all that it does not even exist.
func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithCancel(t.Context())
	out, done := &output{wrote: make(chan struct{}, 1)}, make(chan error, 1)
	go func() { done <- Follow(ctx, path, 10, out) }()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(s string) {
		t.Helper()
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	write("one\n")
	out.waitFor(t, "one\n")
	write("two\n")
	out.waitFor(t, "one\ntwo\n")
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	write("3\n")
	out.waitFor(t, "one\ntwo\n3\n")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestFollowEndsWithItsReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Follow(t.Context(), path, 1, broken{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}
