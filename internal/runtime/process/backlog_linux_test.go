package process

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// TestBacklogIn: the connections to a port that nobody has accepted are counted, and no
// more is read than what listens.
func TestBacklogIn(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:7E15 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 43331905 2 0 100 0 0 10 0
   1: 00000000:07E8 00000000:0000 0A 00000000:00000009 00:00000000 00000000     0        0 547 1 0 100 0 0 10 0
   2: 00000000:7E15 00000000:0000 0A 00000000:00000010 00:00000000 00000000     0        0 547 1 0 100 0 0 10 0
   3: 0100007F:7E15 0100007F:A0C6 01 00000000:00000400 00:00000000 00000000     0        0 43330845 2 0 100 0 0 10 0
`
	beyond := iotest.ErrReader(io.ErrUnexpectedEOF)
	read := false
	rest := readerFunc(func(b []byte) (int, error) { read = true; return beyond.Read(b) })
	if n := backlogIn(io.MultiReader(strings.NewReader(table), rest), 0x7E15); n != 0x13 || read {
		t.Errorf("%d connections; more was read: %v", n, read)
	}
	if n := backlogIn(strings.NewReader(""), 1); n != 0 {
		t.Errorf("%d connections in an empty table", n)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestBacklog: what this kernel says is read so.
func TestBacklog(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for want := range 4 {
		if n := backlog(os.Getpid(), port); n != want {
			t.Fatalf("%d connections wait, want %d", n, want)
		}
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := backlog(os.Getpid(), port); n != 3 {
		t.Errorf("%d connections wait, want 3", n)
	}
}
