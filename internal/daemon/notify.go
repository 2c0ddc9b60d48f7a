package daemon

import (
	"fmt"
	"net"
	"os"
	"time"

	"creel/internal/telemetry"
)

// notifyTime bounds the wait for a service manager that does not take what it is told. It
// is long, since it may be busy, and what it misses may be that creel is ready.
const notifyTime = 10 * time.Second

// notify tells the service manager, if there is one, how creel is
// (sd_notify(3), Type=notify). creel is ready as soon as it takes requests: that
// the gateway is not yet, is no reason to refuse them.
func (d *daemon) notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if err := tell(path, telemetry.Redact(state), notifyTime); err != nil {
		d.log.Warn("the service manager cannot be told of creel's state", "error", err)
	}
}

// tell sends a message to a socket of a service manager's. go-systemd's SdNotify waits
// for it without end.
func tell(path, message string, within time.Duration) error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("cannot connect to its socket: %w", err)
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(message))
	return err
}
