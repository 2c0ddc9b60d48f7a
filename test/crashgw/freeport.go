package crashgw

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
)

// lowestFreePort is where the search for a free port begins.
const lowestFreePort = 10000

// handedOut are the ports that this process has given to its tests.
var handedOut struct {
	sync.Mutex
	ports map[int]bool
}

// FreePort gives a TCP port on 127.0.0.1 that nobody listens on and that has not
// been given out by this test binary before.
//
// It is outside the range from which the kernel takes ports for outgoing
// connections. A port that the kernel chose (by listening on port 0) lies in it,
// so that while a gateway restarts, some client's connection may get that very
// number, and the gateway cannot listen until it is gone from TIME_WAIT.
func FreePort(t testing.TB) int {
	t.Helper()
	first, last := portsToPickFrom()
	handedOut.Lock()
	defer handedOut.Unlock()
	if handedOut.ports == nil {
		handedOut.ports = make(map[int]bool)
	}
	for range 1000 {
		port := first + rand.IntN(last-first+1) // other test binaries pick too
		if handedOut.ports[port] {
			continue
		}
		ln, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := ln.Close(); err != nil {
			t.Fatalf("cannot give back port %d: %v", port, err)
		}
		handedOut.ports[port] = true
		return port
	}
	t.Fatalf("cannot find a free port from %d to %d", first, last)
	return 0
}

// portsToPickFrom gives the larger range beside the kernel's own, see
// ip_local_port_range in ip(7). If the kernel uses nearly all ports, there is
// no better choice than all.
func portsToPickFrom() (first, last int) {
	const highest, enough = 65535, 1000
	low, high := 32768, 60999 // Linux's default
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if _, err := fmt.Sscan(string(b), &low, &high); err != nil {
			low, high = 32768, 60999
		}
	}
	below, above := low-lowestFreePort, highest-high
	switch {
	case below >= enough && below >= above:
		return lowestFreePort, low - 1
	case above >= enough:
		return high + 1, highest
	default:
		return lowestFreePort, highest
	}
}
