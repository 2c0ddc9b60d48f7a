// Package freeport finds TCP ports for servers that are to listen on the same one again,
// after a restart or under another creel.
//
// A port that the kernel chooses (listening on port 0) is no such port: it is of the range
// from which the kernel takes the ports of outgoing connections, too. While the server is
// away, some client's connection may get that very number, be it one to the server's own
// address that then is connected to itself (RFC 9293 §3.5, simultaneous open), and the
// server cannot listen until that is gone.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
)

// lowest is where the search begins: below are the ports of well-known services.
const lowest = 10000

// attempts is how many ports are tried. All but a few of a range are free most often.
const attempts = 1000

// rangeFile says from where the kernel takes the ports of outgoing connections, see
// ip_local_port_range in ip(7).
const rangeFile = "/proc/sys/net/ipv4/ip_local_port_range"

// Find gives a port on 127.0.0.1 that nobody listens on, outside the kernel's own range,
// and by chance, so that two who look at the same time seldom find the same. Ports that
// except says true of are passed over; nil: none is. Where no such port is to be had it
// gives one that the kernel chooses.
func Find(except func(port int) bool) (int, error) {
	for range attempts {
		port := candidate()
		if except != nil && except(port) {
			continue
		}
		if IsFree(port) {
			return port, nil
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("cannot find a free port: %w", err)
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// IsFree tells whether a server could listen on a port of 127.0.0.1 at this moment.
func IsFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	return err == nil && l.Close() == nil
}

func candidate() int {
	low, high := 32768, 60999 // Linux's default
	if b, err := os.ReadFile(rangeFile); err == nil {
		if _, err := fmt.Sscan(string(b), &low, &high); err != nil {
			low, high = 32768, 60999
		}
	}
	first, last := beside(low, high)
	return first + rand.IntN(last-first+1)
}

// beside gives the larger range beside the kernel's own. If the kernel uses nearly all
// ports, there is no better choice than all.
func beside(low, high int) (first, last int) {
	const highest, enough = 65535, 1000
	below, above := low-lowest, highest-high
	switch {
	case below >= enough && below >= above:
		return lowest, low - 1
	case above >= enough:
		return high + 1, highest
	default:
		return lowest, highest
	}
}
