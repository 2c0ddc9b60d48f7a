package crashgw

import (
	"sync"
	"testing"

	"creel/internal/freeport"
)

// handedOut are the ports that this process has given to its tests.
var handedOut struct {
	sync.Mutex
	ports map[int]bool
}

// FreePort gives a TCP port on 127.0.0.1 that nobody listens on and that has not
// been given out by this test binary before; see package freeport.
func FreePort(t testing.TB) int {
	t.Helper()
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.ports == nil {
		handedOut.ports = make(map[int]bool)
	}
	port, err := freeport.Find(func(port int) bool { return handedOut.ports[port] })
	if err != nil {
		t.Fatal(err)
	}
	handedOut.ports[port] = true
	return port
}
