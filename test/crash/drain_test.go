package crash

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"creel/internal/api"
	"creel/test/crashgw"
	"creel/test/harness"
)

// conversation is a WebSocket on which messages are echoed until ctx ends.
type conversation struct {
	echoes atomic.Int64
	ended  chan error // why it ended, if it did not end because ctx has
}

func (c *creel) converse(ctx context.Context, n int) *conversation {
	v := &conversation{ended: make(chan error, 1)}
	conn, resp, err := websocket.Dial(ctx, "ws://"+c.Addr+"/ws", nil)
	if err != nil {
		c.T.Fatalf("WebSocket %d: %v (%+v)", n, err, resp)
	}
	go func() {
		defer conn.CloseNow()
		for i := 0; ; i++ {
			message := fmt.Sprintf("%d of %d", i, n)
			err := conn.Write(ctx, websocket.MessageText, []byte(message))
			var echo []byte
			if err == nil {
				_, echo, err = conn.Read(ctx)
			} else if _, _, readErr := conn.Read(ctx); websocket.CloseStatus(readErr) >= 0 {
				err = readErr // the close frame was there before the write failed
			}
			if err == nil && string(echo) != message {
				err = fmt.Errorf("%q was echoed as %q", message, echo)
			}
			if err != nil {
				if ctx.Err() != nil {
					err = nil
				}
				v.ended <- err
				return
			}
			v.echoes.Add(1)
			harness.Pause(c.T, 2*time.Millisecond)
		}
	}()
	return v
}

// listener reads an event stream until it ends, and gives how it ended.
func (c *creel) listenTo(ctx context.Context, events *atomic.Int64) <-chan error {
	ended := make(chan error, 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL("/sse?n=1000000&every=5ms"), nil)
	if err != nil {
		c.T.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		c.T.Fatal(err)
	}
	go func() {
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				if ctx.Err() != nil {
					err = nil
				}
				ended <- err
				return
			}
			if strings.HasPrefix(line, "data:") {
				events.Add(1)
			}
		}
	}()
	return ended
}

// TestStreamsOutliveUpgrades: WebSockets in the midst of talking, and event
// streams, go on undisturbed over several upgrades, each with the creel that it
// began with.
func TestStreamsOutliveUpgrades(t *testing.T) {
	const upgrades, each = 5, 6
	c := start(t, crashgw.Options{})
	first := c.WaitFor("ready", ready)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sockets []*conversation
	var streams []<-chan error
	var events atomic.Int64
	creels := []int{first.Creel.PID}
	add := func() {
		for range each {
			sockets = append(sockets, c.converse(ctx, len(sockets)))
			streams = append(streams, c.listenTo(ctx, &events))
		}
	}
	add()
	for range upgrades {
		c.Post("upgrade")
		last := creels[len(creels)-1]
		st := c.WaitFor("the successor", func(st api.Status) bool { return st.OK && st.Creel.PID != last })
		creels = append(creels, st.Creel.PID)
		add()
		for n, s := range sockets { // all of them still talk
			seen := s.echoes.Load()
			harness.Poll(t, fmt.Sprintf("WebSocket %d to go on", n), func() bool { return s.echoes.Load() > seen+3 || len(s.ended) > 0 }, c.Output.String)
		}
		before := events.Load()
		harness.Poll(t, "the streams to go on", func() bool { return events.Load() > before+3*int64(len(streams)) }, c.Output.String)
	}
	if st := c.WaitFor("ready", ready); st.PID != first.PID {
		t.Errorf("the gateway was pid %d and is pid %d", first.PID, st.PID)
	}
	stop()
	for n, s := range sockets {
		if err := <-s.ended; err != nil {
			t.Errorf("WebSocket %d: %v", n, err)
		}
	}
	for n, s := range streams {
		if err := <-s; err != nil {
			t.Errorf("stream %d: %v", n, err)
		}
	}
	for _, pid := range creels[:len(creels)-1] {
		c.AwaitEnd(pid) // each ends with its last connection, not at the deadline
	}
	c.endSuccessor(c.WaitFor("ready", ready))
}

// TestDrainDeadline: at the end of upgrade.drain WebSockets are told to
// reconnect, and streams end so that no client can take a part for the whole,
// not even one whose answer's end is the connection's.
func TestDrainDeadline(t *testing.T) {
	c := start(t, crashgw.Options{})
	first := c.WaitFor("ready", ready)
	c.configure("gateway:\n", "upgrade: {drain: 500ms}\ngateway:\n")
	c.reload()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sockets []*conversation
	var streams []<-chan error
	var events atomic.Int64
	for n := range 5 {
		sockets = append(sockets, c.converse(ctx, n))
		streams = append(streams, c.listenTo(ctx, &events))
	}
	old, err := net.Dial("tcp", c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if _, err := io.WriteString(old, "GET /sse?n=1000000&every=5ms HTTP/1.0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	oldEnd := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, old)
		oldEnd <- err
	}()
	harness.Poll(t, "the streams", func() bool { return events.Load() > 20 }, c.Output.String)
	c.Post("upgrade")
	st := c.WaitFor("the successor", func(st api.Status) bool { return st.OK && st.Creel.PID != first.Creel.PID })
	var under sync.WaitGroup
	for n := range sockets {
		under.Go(func() {
			if err := <-sockets[n].ended; websocket.CloseStatus(err) != websocket.StatusServiceRestart {
				t.Errorf("WebSocket %d ended with %v", n, err)
			}
		})
		under.Go(func() {
			if err := <-streams[n]; err == nil || errors.Is(err, io.EOF) {
				t.Errorf("stream %d ended like a whole one (%v)", n, err)
			}
		})
	}
	under.Wait()
	if err := <-oldEnd; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("an answer without a length ended with %v, want a reset", err)
	}
	c.AwaitEnd(first.Creel.PID)
	if st.PID != first.PID {
		t.Errorf("the gateway was pid %d and is pid %d", first.PID, st.PID)
	}
	c.endSuccessor(st)
}

// TestRestartWaitsForTheDrain: a restart that is asked for at once after an upgrade waits
// for what the creel that drains has with the gateway: for a request that was under way
// before, and for one that came to it afterwards.
func TestRestartWaitsForTheDrain(t *testing.T) {
	c := start(t, crashgw.Options{})
	c.WaitFor("ready", ready)
	c.configure("drain: 2s", "drain: 30s")
	c.reload()
	for _, after := range []bool{false, true} {
		last := c.WaitFor("ready", ready)
		conn, rw := c.dial()
		if after {
			send(t, rw, "GET /item?id=first HTTP/1.1") // so that the old creel has the connection
			if code := outcome(t, rw); code != "" {
				t.Fatal(code)
			}
		} else {
			beginPost(t, rw, 15)
		}
		c.Post("upgrade")
		if after {
			beginPost(t, rw, 15)
		}
		c.Post("restart")
		if code := outcome(t, rw); code != "" {
			t.Errorf("a request that the old creel had (after the upgrade: %v) is told %q, and drain is not over", after, code)
		}
		st := c.WaitFor("the restart", func(st api.Status) bool { return st.OK && st.Generation == last.Generation+1 })
		if st.Creel.PID == last.Creel.PID {
			t.Error("it was not upgraded")
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		c.AwaitEnd(last.Creel.PID)
	}
	c.endSuccessor(c.WaitFor("ready", ready))
}

// TestRestartAfterAFailedUpgrade: a creel that has taken the gateway back, since its
// successor has died, has a restart wait for the requests from before.
func TestRestartAfterAFailedUpgrade(t *testing.T) {
	c := start(t, crashgw.Options{})
	first := c.WaitFor("ready", ready)
	c.configure("drain: 2s", "drain: 30s")
	c.reload()
	_, rw := c.dial()
	beginPost(t, rw, 30)
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil { // so the successor settles for a while
		t.Fatal(err)
	}
	asked := make(chan error, 1)
	go func() {
		resp, err := api.Client(c.DataDir()).Post(api.ControlURL("upgrade"), "", nil)
		if err == nil {
			err = resp.Body.Close()
		}
		asked <- err
	}()
	successor := c.WaitFor("the successor to take over", func(st api.Status) bool { return st.Creel.PID != first.Creel.PID && st.PID == first.PID }).Creel.PID
	if err := errors.Join(syscall.Kill(successor, syscall.SIGKILL), syscall.Kill(first.PID, syscall.SIGCONT)); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
	c.WaitFor("the gateway to be taken back", func(st api.Status) bool { return st.Creel.PID == first.Creel.PID })
	c.Post("restart")
	if code := outcome(t, rw); code != "" {
		t.Errorf("it is told %q, and drain is not over", code)
	}
	c.WaitFor("the restart", func(st api.Status) bool { return st.OK && st.Generation == first.Generation+1 })
	if events := c.Events(); !strings.Contains(events, `"requests_cut":0`) {
		t.Errorf("the restart has not waited for it, but till the end of drain:\n%s", events)
	}
	if st := c.WaitFor("ready", ready); st.Creel.PID != first.Creel.PID {
		t.Errorf("creel was pid %d and is pid %d", first.Creel.PID, st.Creel.PID)
	}
}

// TestRestartAfterTheDrain: a request that was under way at an upgrade, and is cut by a
// restart once stop.drain is over, is told that.
func TestRestartAfterTheDrain(t *testing.T) {
	c := start(t, crashgw.Options{})
	first := c.WaitFor("ready", ready)
	c.configure("drain: 2s", "drain: 100ms")
	c.reload()
	conn, rw := c.dial()
	beginPost(t, rw, 200)
	c.Post("upgrade")
	c.Post("restart")
	if code := outcome(t, rw); code != "gateway_restarted" {
		t.Errorf("it is told %q", code)
	}
	if err := conn.Close(); err != nil { // the answer has not told to, see TestDrainHearsOfTheEnd
		t.Error(err)
	}
	st := c.WaitFor("the restart", func(st api.Status) bool { return st.OK && st.Generation == first.Generation+1 })
	c.AwaitEnd(first.Creel.PID)
	c.endSuccessor(st)
}

// TestDrainHearsOfTheEnd: a request that reaches the gateway by way of a creel that
// drains is told what became of it as truthfully as by the one in charge: that the
// gateway crashed, or that somebody restarted it. What may be sent again is.
func TestDrainHearsOfTheEnd(t *testing.T) {
	c := start(t, crashgw.Options{})
	old := c.WaitFor("ready", ready).Creel.PID
	var conns []*bufio.ReadWriter
	var leave []func() error
	for range 3 {
		conn, rw := c.dial()
		leave = append(leave, conn.Close)
		conns = append(conns, rw)
		send(t, rw, "GET /item?id=first HTTP/1.1")
		if code := outcome(t, rw); code != "" {
			t.Fatalf("before the upgrade: %s", code)
		}
	}
	c.Post("upgrade")
	c.WaitFor("the successor", func(st api.Status) bool { return st.OK && st.Creel.PID != old })
	for n, tt := range []struct {
		method, want string
		end          func()
	}{
		{"POST", "gateway_crashed", func() { c.Crash() }},
		{"POST", "gateway_restarted", func() { c.Post("restart") }},
		{"GET", "", func() { c.Crash() }},
	} {
		c.WaitFor("ready", ready)
		// What may not be sent again is under way for as long as it takes to end the instance.
		hints := map[string]int{"GET": 15, "POST": 90}[tt.method]
		send(t, conns[n], fmt.Sprintf("%s /1xx?n=%d&every=100ms HTTP/1.1", tt.method, hints))
		if resp, err := http.ReadResponse(conns[n].Reader, nil); err != nil || resp.StatusCode != http.StatusEarlyHints {
			t.Fatalf("%s has not arrived: %v, %v", tt.method, resp, err)
		}
		tt.end()
		if code := outcome(t, conns[n]); code != tt.want {
			t.Errorf("a %s is told %q, want %q", tt.method, code, tt.want)
		}
	}
	// An answer tells the client to leave only if the old creel was draining already
	// when it came.
	for _, conn := range leave {
		if err := conn(); err != nil {
			t.Error(err)
		}
	}
	c.AwaitEnd(old)
	c.endSuccessor(c.WaitFor("ready", ready))
}

// dial connects as a client that keeps its connection.
func (c *creel) dial() (net.Conn, *bufio.ReadWriter) {
	c.T.Helper()
	conn, err := net.Dial("tcp", c.Addr)
	if err != nil {
		c.T.Fatal(err)
	}
	c.T.Cleanup(func() { _ = conn.Close() }) // most are closed by then
	if err := conn.SetDeadline(time.Now().Add(harness.Patience)); err != nil {
		c.T.Fatal(err)
	}
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
}

// beginPost begins a request that may not be sent twice, and has arrived. It takes as many
// tenths of a second as it gets hints.
func beginPost(t *testing.T, rw *bufio.ReadWriter, hints int) {
	t.Helper()
	send(t, rw, fmt.Sprintf("POST /1xx?n=%d&every=100ms HTTP/1.1", hints))
	if resp, err := http.ReadResponse(rw.Reader, nil); err != nil || resp.StatusCode != http.StatusEarlyHints {
		t.Fatalf("it has not arrived: %v, %v", resp, err)
	}
}

func send(t *testing.T, rw *bufio.ReadWriter, line string) {
	t.Helper()
	_, err := rw.WriteString(line + "\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
	if err = errors.Join(err, rw.Flush()); err != nil {
		t.Fatal(err)
	}
}

// outcome reads an answer; it gives the code of a problem document, and "" for 200.
func outcome(t *testing.T, rw *bufio.ReadWriter) string {
	t.Helper()
	resp, err := http.ReadResponse(rw.Reader, nil)
	for err == nil && resp.StatusCode < 200 {
		resp, err = http.ReadResponse(rw.Reader, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var d struct{ Code string }
	if err := json.NewDecoder(resp.Body).Decode(&d); resp.StatusCode != http.StatusOK && err != nil {
		t.Fatalf("status %d, without a problem document: %v", resp.StatusCode, err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return d.Code
}
