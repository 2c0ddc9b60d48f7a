package freeport

import (
	"net"
	"strconv"
	"testing"
)

// TestFind: what is found can be listened on, is not what was excepted, and is not one
// that the kernel may give to somebody's connection.
func TestFind(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := Find(func(port int) bool { return seen[port] })
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] {
			t.Errorf("port %d was excepted", port)
		}
		seen[port] = true
	}
	for port := range seen {
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		if IsFree(port) {
			t.Errorf("port %d counts as free while somebody listens on it", port)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestFindNone: where all are excepted the kernel chooses.
func TestFindNone(t *testing.T) {
	if port, err := Find(func(int) bool { return true }); err != nil || port == 0 {
		t.Errorf("port %d, %v", port, err)
	}
}

func TestBeside(t *testing.T) {
	for _, tt := range []struct{ low, high, first, last int }{
		{32768, 60999, 10000, 32767},
		{9000, 40000, 40001, 65535},
		{1024, 60999, 61000, 65535},
		{1024, 65535, 10000, 65535},
	} {
		if first, last := beside(tt.low, tt.high); first != tt.first || last != tt.last {
			t.Errorf("beside %d to %d: %d to %d", tt.low, tt.high, first, last)
		}
	}
}
