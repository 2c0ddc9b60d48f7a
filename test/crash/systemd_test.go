package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/api"
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

// TestServiceManagerIsToldBefore: the creel that hands over tells the service manager
// itself which process is the service's main one from now on. It ends as soon as its last
// client has gone, which may be before its successor has come to say so; the service
// would be over with it, and its successor be ended.
func TestServiceManagerIsToldBefore(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	path := filepath.Join(c.Dir, "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	raw, err := notify.SyscallConn()
	if err == nil {
		controlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(err, controlErr)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.LaunchWith(func(cmd *exec.Cmd) { cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+path) })
	before := c.WaitFor("ready", ready)
	waitNotices(t, notify, "READY=1", "STATUS=gateway ready") // few may wait to be read
	c.Post("upgrade")
	after := c.WaitFor("the successor", func(st api.Status) bool { return st.OK && st.Creel.PID != before.Creel.PID })
	if err := notify.SetReadDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	main := fmt.Sprintf("MAINPID=%d", after.Creel.PID)
	for b, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred)); ; {
		n, oobn, _, _, err := notify.ReadMsgUnix(b, oob)
		if err != nil {
			t.Fatalf("the creel that was replaced has not said %s: %v", main, err)
		}
		if slices.Contains(strings.Split(string(b[:n]), "\n"), main) && senderOf(t, oob[:oobn]) == before.Creel.PID {
			break
		}
	}
	c.WaitExit()
	// As a service manager's the successor is this process's child.
	if err := syscall.Kill(after.Creel.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	harness.Poll(t, "the successor's end", func() bool {
		pid, err := syscall.Wait4(after.Creel.PID, nil, syscall.WNOHANG, nil)
		return pid == after.Creel.PID || err != nil
	}, func() string { return c.Output.String() })
}

// senderOf is the process that has sent a message (unix(7), SCM_CREDENTIALS).
func senderOf(t *testing.T, oob []byte) int {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		t.Fatalf("a message without its sender: %v", err)
	}
	who, err := unix.ParseUnixCredentials(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	return int(who.Pid)
}
