package process

import (
	"errors"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

func TestPortHolder(t *testing.T) {
	tests := []struct {
		host  string
		taken bool
	}{
		{"127.0.0.1", true},
		{"0.0.0.0", true},
		{"::1", true},
		{"::", true},
		{"127.0.0.2", false}, // another address, no hindrance
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			network := "tcp4"
			if tt.host[0] == ':' {
				network = "tcp6"
			}
			l, err := net.Listen(network, net.JoinHostPort(tt.host, "0"))
			if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
				t.Skipf("the kernel has no such address: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			port := l.Addr().(*net.TCPAddr).Port
			holder, err := PortHolder(port)
			if err != nil || (holder != nil) != tt.taken {
				t.Fatalf("holder %v, %v; want taken %v", holder, err, tt.taken)
			}
			if tt.taken && (holder.PID != os.Getpid() || holder.Port != port) {
				t.Errorf("holder %+v, want pid %d", holder, os.Getpid())
			}
			var refused *runtime.PortTakenError
			if err := checkPort(port); errors.As(err, &refused) != tt.taken {
				t.Errorf("check: %v, want taken %v", err, tt.taken)
			}
			l.Close()
			if err := checkPort(port); err != nil {
				t.Errorf("check after it was closed: %v", err)
			}
			if holder, err := PortHolder(port); holder != nil || err != nil {
				t.Errorf("after it was closed: %v, %v", holder, err)
			}
		})
	}
}

// TestCheckPortBound: a socket can hold a port and not listen; only bind tells.
func TestCheckPortBound(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*unix.SockaddrInet4).Port
	var taken *runtime.PortTakenError
	if err := checkPort(port); !errors.As(err, &taken) || taken.PID != 0 {
		t.Errorf("check: %v, want a PortTakenError without a pid", err)
	}
}

func TestParseListeners(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
	line := func(addr, state string) string {
		return head + "   0: " + addr + " 00000000:0000 " + state + " 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"
	}
	tests := []struct {
		name, table string
		found       bool
	}{
		{"listens", line("00000000:4965", "0A"), true},
		{"other state", line("00000000:4965", "01"), false},
		{"other port", line("00000000:4966", "0A"), false},
		{"any, IPv6", line("00000000000000000000000000000000:4965", "0A"), true},
		{"garbage", line("zz:4965", "0A"), false},
		{"short line", head + " 0: x\n", false},
		{"empty", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := parseListeners(tt.table, 0x4965)
			if found := len(got) == 1 && got[0] == "4711"; found != tt.found {
				t.Errorf("inodes %q, want found %v", got, tt.found)
			}
		})
	}
}
