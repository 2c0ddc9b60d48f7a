package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

var pid = os.Getpid()

// SocketPath is where the control socket of a data folder is found. It is a symbolic
// link: the socket itself is among what is hidden from a gateway that is kept apart,
// which may run as the same user. (Hiding the socket alone would last until the next
// creel makes a new one.)
func SocketPath(dataDir string) string { return filepath.Join(dataDir, "creel.sock") }

// hiddenSocket is where it is, from the data folder.
const hiddenSocket = "private/creel.sock"

// maxSocketPath is the longest path of a unix socket (unix(7): 108 bytes, the
// last one NUL).
const maxSocketPath = 107

// ListenControl opens the control socket of a data folder. The caller holds the
// folder's lock, so that a socket which is there already is one that a creel
// left behind. Connections of other users are closed at once.
func ListenControl(dataDir string) (net.Listener, error) {
	path := filepath.Join(dataDir, hiddenSocket)
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("cannot open the control socket: its path has %d bytes, the most is %d: choose a shorter --data-dir than %s", len(path), maxSocketPath, dataDir)
	}
	for _, left := range []string{SocketPath(dataDir), path} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot remove an earlier creel's control socket: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot protect the control socket: %w", err), l.Close())
	}
	if err := os.Symlink(hiddenSocket, SocketPath(dataDir)); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot link to the control socket: %w", err), l.Close())
	}
	return &sameUser{l, SocketPath(dataDir)}, nil
}

// sameUser accepts connections of creel's own user and of root.
type sameUser struct {
	net.Listener
	link string
}

// Close removes the socket, and what leads to it.
func (l *sameUser) Close() error {
	if err := l.Listener.Close(); err != nil {
		return err
	}
	_ = os.Remove(l.link) // one that is left leads nowhere, and is no more than a socket that is left
	return nil
}

func (l *sameUser) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(c)
		if err == nil && (uid == os.Getuid() || uid == 0) {
			return c, nil
		}
		_ = c.Close() // whoever it is gets no reason
	}
}

// Client is an HTTP client for the control socket of a data folder. Requests go
// to http://creel/….
func Client(dataDir string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{Timeout: 5 * time.Second}
		return d.DialContext(ctx, "unix", SocketPath(dataDir))
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
}

// ControlURL is the address of something behind the control socket.
func ControlURL(what string) string { return "http://creel" + v1Prefix + what }
