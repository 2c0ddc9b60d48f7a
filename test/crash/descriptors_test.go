package crash

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"creel/internal/api"
	"creel/internal/health"
	"creel/test/crashgw"
	"creel/test/harness"
)

// limitFiles sets how many files creel may have open from now on.
func (c *creel) limitFiles(n uint64) {
	c.T.Helper()
	var limit unix.Rlimit
	err := unix.Prlimit(c.Cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &limit)
	if err == nil {
		limit.Cur = n
		err = unix.Prlimit(c.Cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil)
	}
	if err != nil {
		c.T.Fatalf("cannot limit creel's open files: %v", err)
	}
}

// TestSoftLimitIsRaised: creel takes all the descriptors that it may have.
func TestSoftLimitIsRaised(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.LaunchWith(func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `ulimit -Sn 200; ulimit -Hn 3000; exec "$0" "$@"`}, cmd.Args...)
	})
	c.WaitFor("ready", ready)
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", c.Cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		var soft, hard int
		if n, _ := fmt.Sscanf(line, "Max open files %d %d", &soft, &hard); n == 2 && (hard != 3000 || soft < hard-1) {
			t.Errorf("creel's limit: %s", line)
		}
	}
}

// TestMoreClientsThanDescriptors: clients that creel has no descriptors for wait;
// those that are served go on, the owner is answered, and the gateway is not
// taken for dead. When some leave, others come in.
func TestMoreClientsThanDescriptors(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.limitFiles(200)
	clients := make([]net.Conn, 150)
	for n := range clients {
		conn, err := net.DialTimeout("tcp", c.Addr, harness.Patience)
		if err != nil {
			t.Fatalf("client %d is refused: %v", n, err)
		}
		defer conn.Close()
		clients[n] = conn
	}
	c.WaitFor("the limit to be told", func(st api.Status) bool { return degraded(st, health.Connections) })
	if _, _, code := c.command("status"); code != 0 {
		t.Errorf("creel status exits with %d", code)
	}
	if got := ask(t, clients[0], "first"); !strings.Contains(got, `"first"`) {
		t.Errorf("a client that is served got %s", got)
	}
	crashed := c.Crash() // a start takes descriptors, too
	c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == crashed.Generation+1 })
	for _, conn := range clients[:100] {
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := ask(t, clients[149], "last"); !strings.Contains(got, `"last"`) {
		t.Errorf("the last client got %s", got)
	}
	c.waitWell()
	if st := c.WaitFor("ready", ready); st.Generation != before.Generation+1 || st.Restarts != 1 {
		t.Errorf("%d restarts, generation %d; one was asked for", st.Restarts, st.Generation)
	}
}

// TestIdleClientsMakeRoom: clients that keep connections which they do not use keep
// nobody out: when all room is taken, their connections are closed.
func TestIdleClientsMakeRoom(t *testing.T) {
	c := start(t, crashgw.Options{})
	c.WaitFor("ready", ready)
	c.limitFiles(200)       // room for (200-64)/2 clients
	for n := range 68 + 5 { // each comes when those before have been answered
		conn, err := net.DialTimeout("tcp", c.Addr, harness.Patience)
		if err == nil {
			defer conn.Close()
			err = conn.SetDeadline(time.Now().Add(harness.Patience / 2))
		}
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprintf("client%d", n)
		if got := ask(t, conn, id); !strings.Contains(got, `"`+id+`"`) {
			t.Fatalf("client %d got %s", n, got)
		}
	}
}

// ask sends a request on a connection and gives the answer's body.
func ask(t *testing.T, conn net.Conn, id string) string {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "GET /item?id=%s HTTP/1.1\r\nHost: x\r\n\r\n", id); err != nil {
		return err.Error()
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestOutOfDescriptors: creel may suddenly open nothing more. Requests wait, the
// gateway is not taken for dead; one that really dies is started again, and the
// owner is answered, with what is in reserve. When creel may open files again,
// those that waited are answered.
func TestOutOfDescriptors(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sockets []*conversation
	for n := range 20 {
		sockets = append(sockets, c.converse(ctx, n))
	}
	client, err := net.Dial("tcp", c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if got := ask(t, client, "before"); !strings.Contains(got, `"before"`) {
		t.Fatalf("got %s", got)
	}
	c.limitFiles(32) // less than are open
	held := make(chan string, 1)
	go func() {
		if _, err := io.WriteString(client, "POST /item?id=held HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"); err != nil {
			held <- err.Error()
			return
		}
		resp, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			held <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		held <- fmt.Sprint(string(b), err)
	}()
	c.WaitFor("the want to be told", func(st api.Status) bool { return degraded(st, health.Descriptors) })
	for n, s := range sockets {
		seen := s.echoes.Load()
		harness.Poll(t, fmt.Sprintf("WebSocket %d to go on", n), func() bool { return s.echoes.Load() > seen }, c.Output.String)
	}
	if st := c.WaitFor("ready", ready); st.PID != before.PID {
		t.Errorf("the gateway was taken for dead: pid %d, was %d", st.PID, before.PID)
	}
	stop()
	c.Crash()
	c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == before.Generation+1 })
	select {
	case got := <-held:
		t.Logf("answered before creel could open files again: %s", got) // the WebSockets' descriptors have become free
		held <- got
	default:
	}
	c.limitFiles(4096)
	if got := <-held; !strings.Contains(got, `"held"`) {
		t.Errorf("the request that waited got %s", got)
	}
	c.waitWell()
	if st := c.WaitFor("ready", ready); st.Restarts != 1 {
		t.Errorf("%d restarts, generation %d; one was asked for", st.Restarts, st.Generation)
	}
}
