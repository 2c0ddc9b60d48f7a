package handover

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// role, in the environment, makes this test binary a successor that behaves as
// it says.
const role = "HANDOVER_TEST_ROLE"

// patience bounds every wait for something that is bound to happen.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if r := os.Getenv(role); r != "" {
		os.Exit(succeed(r))
	}
	goleak.VerifyTestMain(m)
}

// succeed is a successor. Once in charge it answers one connection.
func succeed(role string) int {
	if role == "dies at once" {
		return 1
	}
	p, environ, err := Inherit(os.Environ())
	if err != nil || p == nil {
		return 2
	}
	for _, kv := range environ {
		if strings.HasPrefix(kv, variable) {
			return 3
		}
	}
	if role == "fails" {
		p.Failed(errors.New("its configuration\nis unusable"))
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.Prepared(ctx); err != nil {
		return 4
	}
	if role == "dies in taking over" {
		return 1
	}
	l, err := net.FileListener(p.File("listener"))
	if err != nil {
		return 5
	}
	p.Ready()
	c, err := l.Accept()
	if err != nil {
		return 6
	}
	select {
	case <-p.Released():
		return 8 // nobody has let it go
	default:
	}
	if _, err := io.WriteString(c, "the successor"); err != nil || c.Close() != nil {
		return 7
	}
	<-p.Released()
	return 0
}

// begin starts a successor in a role, with a listener to hand over.
func begin(t *testing.T, r string) (*Successor, *net.TCPListener) {
	t.Helper()
	return beginAs(t, r, false)
}

func beginAs(t *testing.T, r string, sibling bool) (*Successor, *net.TCPListener) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // some tests close it before
	s, err := Start(os.Args[0], nil, append(os.Environ(), role+"="+r), []File{{"listener", l}}, sibling)
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestHandOver: the successor gets the very socket. A connection that was made
// before anybody accepts it is answered, although the predecessor closes its
// listener; and that listener can still be closed while it waits in accept(2).
func TestHandOver(t *testing.T) {
	s, l := begin(t, "succeeds")
	accepting := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepting <- err
	}()
	if err := s.AwaitPrepared(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-accepting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept ended with %v", err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatalf("a connection was refused: %v", err)
	}
	defer c.Close()
	if err := errors.Join(s.Go(), s.AwaitReady(deadline(t)), c.SetReadDeadline(time.Now().Add(patience))); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(c); err != nil || string(b) != "the successor" {
		t.Errorf("got %q, %v", b, err)
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	<-s.child.ended
	if !s.child.cmd.ProcessState.Success() {
		t.Errorf("the successor ended with %v", s.child.cmd.ProcessState)
	}
}

func TestSuccessorsThatFail(t *testing.T) {
	for r, test := range map[string]struct {
		prepared bool
		says     string
	}{
		"dies at once":        {false, "ended before"},
		"fails":               {false, "its configuration is unusable"},
		"dies in taking over": {true, "ended before"},
	} {
		t.Run(r, func(t *testing.T) {
			s, _ := begin(t, r)
			err := s.AwaitPrepared(deadline(t))
			if test.prepared {
				if err != nil {
					t.Fatal(err)
				}
				_ = s.Go() // it may be gone already
				err = s.AwaitReady(deadline(t))
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v", err)
			}
			if err := s.Abandon(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAbandon: a successor that waits to be told to go on is ended, and the
// predecessor's patience with it has an end.
func TestAbandon(t *testing.T) {
	s, _ := begin(t, "succeeds")
	if err := s.AwaitPrepared(deadline(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.AwaitReady(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := s.Abandon(); err != nil {
		t.Error(err)
	}
}

// TestSibling: one that is not ours to wait for is ended and waited for like any
// other, and belongs to our parent.
func TestSibling(t *testing.T) {
	s, _ := beginAs(t, "succeeds", true)
	if err := s.AwaitPrepared(deadline(t)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ") // proc_pid_stat(5): state and ppid follow the name
	if parent := strings.Fields(rest)[1]; parent != strconv.Itoa(os.Getppid()) {
		t.Errorf("its parent is %s, ours is %d", parent, os.Getppid())
	}
	if err := s.Abandon(); err != nil {
		t.Error(err)
	}
}

// TestPredecessorDies: a successor that was not told to go on ends by itself.
func TestPredecessorDies(t *testing.T) {
	s, _ := begin(t, "succeeds")
	if err := s.AwaitPrepared(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Release(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.child.ended:
	case <-time.After(patience):
		t.Fatal("the successor goes on")
	}
	if code := s.child.cmd.ProcessState.ExitCode(); code != 4 {
		t.Errorf("exit code %d", code)
	}
}

func TestNoPredecessor(t *testing.T) {
	p, environ, err := Inherit([]string{"A=1"})
	if p != nil || err != nil || len(environ) != 1 {
		t.Errorf("got %v, %v, %v", p, environ, err)
	}
}

// TestTerminate: a successor hears that it is to end, and one that has ended no more.
func TestTerminate(t *testing.T) {
	s, _ := begin(t, "succeeds")
	if err := s.AwaitPrepared(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.Terminate(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.child.ended:
	case <-time.After(patience):
		t.Fatal("the successor goes on")
	}
	if status, ok := s.child.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v", s.child.cmd.ProcessState)
	}
	if err := errors.Join(s.Terminate(), s.Release()); err != nil {
		t.Error(err)
	}
}
