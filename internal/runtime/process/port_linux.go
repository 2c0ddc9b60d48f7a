package process

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// checkPort returns a *runtime.PortTakenError if an instance could not listen
// on the port of 127.0.0.1, or if somebody listens on it at ::1: a client that
// says "localhost" would get to that one.
//
// The kernel is asked by bind, which takes microseconds and also finds sockets
// that are bound and do not listen yet. Only when it says no the tables of
// sockets, which take 20 ms to read, are searched for who it is.
func checkPort(port int) error {
	for _, addr := range []unix.Sockaddr{
		&unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}, // and 0.0.0.0, ::
		&unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}},       // and ::
	} {
		err := tryBind(addr)
		if errors.Is(err, unix.EADDRINUSE) {
			return portTaken(port)
		}
		if err != nil {
			return fmt.Errorf("cannot use port %d: %w", port, err)
		}
	}
	return nil
}

func portTaken(port int) error {
	holder, err := PortHolder(port)
	if err != nil || holder == nil {
		return errors.Join(&runtime.PortTakenError{Port: port}, err)
	}
	return holder
}

// tryBind binds without listening, so that no client can connect meanwhile. A
// kernel without IPv6 has nobody there.
func tryBind(addr unix.Sockaddr) error {
	family := unix.AF_INET
	if _, six := addr.(*unix.SockaddrInet6); six {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(fd)
		// As servers do: connections of the last instance in TIME_WAIT are no hindrance.
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if err == nil {
		err = unix.Bind(fd, addr)
	}
	if family == unix.AF_INET6 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL)) {
		return nil
	}
	return err
}

// PortHolder tells who listens on a TCP port at 127.0.0.1, 0.0.0.0, ::1 or ::;
// nil: nobody. The PID is 0 if the kernel does not say (a process of another
// user, or in another pid namespace).
func PortHolder(port int) (*runtime.PortTakenError, error) {
	inodes, err := listeners(port)
	if err != nil || len(inodes) == 0 {
		return nil, err
	}
	holder := &runtime.PortTakenError{Port: port}
	pids, err := allPIDs()
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		if holdsSocket(pid, inodes) {
			holder.PID, holder.Command = pid, commandLine(pid)
			break
		}
	}
	return holder, nil
}

// listeners lists the inodes of the sockets that listen on the port.
func listeners(port int) ([]string, error) {
	var inodes []string
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		table, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("cannot look for who listens on port %d: %w", port, err)
		}
		inodes = append(inodes, parseListeners(string(table), port)...)
	}
	return inodes, nil
}

// parseListeners reads the table of proc_net_tcp(5) (kernel:
// Documentation/networking/proc_net_tcp.rst).
func parseListeners(table string, port int) []string {
	const listen = "0A"
	var inodes []string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[3] != listen {
			continue
		}
		host, hexPort, _ := strings.Cut(fields[1], ":")
		if n, err := strconv.ParseUint(hexPort, 16, 16); err != nil || int(n) != port {
			continue
		}
		if addr, ok := parseKernelAddr(host); ok && (addr.IsUnspecified() || isLoopback(addr)) {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// isLoopback is narrower than netip's: 127.0.0.2 is another address.
func isLoopback(a netip.Addr) bool {
	return a == netip.IPv6Loopback() || a == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// parseKernelAddr reads an address as the kernel prints it: 32-bit words in hex,
// each in the byte order of the machine.
func parseKernelAddr(s string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw)%4 != 0 {
		return netip.Addr{}, false
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 { // little-endian
		for word := range slices.Chunk(raw, 4) {
			slices.Reverse(word)
		}
	}
	addr, ok := netip.AddrFromSlice(raw)
	return addr.Unmap(), ok
}

// holdsSocket reports whether a process has one of the sockets open.
func holdsSocket(pid int, inodes []string) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	d, err := os.Open(dir)
	if err != nil {
		return false // ended, or another user's
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return false
	}
	for _, name := range names {
		link, err := os.Readlink(dir + "/" + name)
		if err != nil {
			continue
		}
		inode, ok := strings.CutPrefix(link, "socket:[")
		if ok && slices.Contains(inodes, strings.TrimSuffix(inode, "]")) {
			return true
		}
	}
	return false
}
