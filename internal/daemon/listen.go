package daemon

import (
	"fmt"
	"net"

	"github.com/coreos/go-systemd/v22/activation"

	"creel/internal/runtime/process"
)

// AddressError says that creel cannot listen where it is to.
type AddressError struct {
	Addr   string
	Holder string // who has the port, as far as is known
	Err    error
}

func (e *AddressError) Error() string {
	if e.Holder != "" {
		return fmt.Sprintf("cannot listen on %s: %s; stop it, or choose another address with --listen", e.Addr, e.Holder)
	}
	return fmt.Sprintf("cannot listen on %s: %v; choose another address with --listen", e.Addr, e.Err)
}

func (e *AddressError) Unwrap() error { return e.Err }

// listen gives the socket that clients connect to: the one that a service
// manager has opened for creel (socket activation, sd_listen_fds(3)), whatever
// its address, else one on addr.
func listen(addr string) (net.Listener, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("cannot use the sockets that the service manager passes: %w", err)
	}
	switch len(passed) {
	case 0:
		return open(addr)
	case 1:
		if passed[0] == nil {
			return nil, fmt.Errorf("cannot use the socket that the service manager passes: it is no stream socket; use ListenStream= in the socket unit")
		}
		return passed[0], nil
	default:
		return nil, fmt.Errorf("cannot use %d sockets: the service manager is to pass one; correct the socket unit", len(passed))
	}
}

func open(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	e := &AddressError{Addr: addr, Err: err}
	if tcp, parseErr := net.ResolveTCPAddr("tcp", addr); parseErr == nil {
		if holder, holderErr := process.PortHolder(tcp.Port); holderErr == nil && holder != nil {
			e.Holder = holder.Error()
		}
	}
	return nil, e
}
