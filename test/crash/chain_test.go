package crash

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"time"

	"creel/internal/api"
	"creel/test/crashgw"
	"creel/test/harness"
)

// TestRestartWaitsForAllThatDrain: of three creels in a row the one in the midst, which has
// nothing of its own, ends; a restart waits for what the first one has all the same.
func TestRestartWaitsForAllThatDrain(t *testing.T) {
	c := start(t, crashgw.Options{})
	first := c.WaitFor("ready", ready)
	c.configure("drain: 2s", "drain: 30s")
	c.reload()
	conn, err := net.Dial("tcp", c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		t.Fatal(err)
	}
	rw := bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
	send(t, rw, "POST /1xx?n=30&every=100ms HTTP/1.1")
	if resp, err := http.ReadResponse(rw.Reader, nil); err != nil || resp.StatusCode != http.StatusEarlyHints {
		t.Fatalf("it has not arrived: %v, %v", resp, err)
	}
	c.Post("upgrade")
	second := c.WaitFor("the second creel", func(st api.Status) bool { return st.OK && st.Creel.PID != first.Creel.PID })
	c.Post("upgrade")
	c.Post("restart")
	if code := outcome(t, rw); code != "" {
		t.Errorf("a request that the first creel has is told %q, and drain is not over", code)
	}
	c.AwaitEnd(second.Creel.PID)
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	c.AwaitEnd(first.Creel.PID)
	st := c.WaitFor("the restart", func(st api.Status) bool { return st.OK && st.Generation == first.Generation+1 })
	c.endSuccessor(st)
}
