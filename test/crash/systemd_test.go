package crash

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/test/crashgw"
	"creel/test/harness"
)

// TestServiceManager: creel takes the socket that a service manager has opened
// (sd_listen_fds(3)), tells it when it is ready and when it stops (sd_notify(3)),
// and hands nothing of that to the gateway.
func TestServiceManager(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c.Addr = l.Addr().String() // --listen names another one, which is not used
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	path := filepath.Join(c.Dir, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()

	c.LaunchWith(func(cmd *exec.Cmd) {
		// The pid in LISTEN_PID has to be creel's own: the shell becomes creel.
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)
		cmd.ExtraFiles = []*os.File{socket}
		cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "NOTIFY_SOCKET="+path)
	})
	waitNotices(t, notify, "READY=1", "STATUS=gateway ready")
	var env map[string]string
	if err := json.Unmarshal([]byte(c.Get("/env")), &env); err != nil {
		t.Fatal(err)
	}
	for name := range env {
		if strings.HasPrefix(name, "LISTEN_") || name == "NOTIFY_SOCKET" {
			t.Errorf("the gateway gets %s", name)
		}
	}
	c.Stop()
	waitNotices(t, notify, "STOPPING=1")
}

// waitNotices reads notifications until there was one, in any order, that begins like
// each of those that are wanted.
func waitNotices(t *testing.T, from *net.UnixConn, want ...string) {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	for len(want) > 0 {
		n, err := from.Read(b)
		if err != nil {
			t.Fatalf("waited in vain for %q: %v", want, err)
		}
		want = slices.DeleteFunc(want, func(w string) bool { return strings.HasPrefix(string(b[:n]), w) })
	}
}
