package crash

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/test/crashgw"
	"creel/test/harness"
)

// Thresholds of these tests; the real ones are fifteen times as long.
const (
	suspectAfter = 2 * time.Second
	restartAfter = 4 * time.Second
)

// listening starts a creel that notices a hang soon.
func listening(t *testing.T, o crashgw.Options) *creel {
	t.Helper()
	c := prepare(t, o)
	c.LaunchWith(func(cmd *exec.Cmd) {
		cmd.Env = append(os.Environ(), "CREEL_GATEWAY_HANG_INTERVAL=200ms", "CREEL_GATEWAY_HANG_SUSPECT_AFTER="+suspectAfter.String(),
			"CREEL_GATEWAY_HANG_RESTART_AFTER="+restartAfter.String(), "CREEL_GATEWAY_HANG_BUSY_RESTART_AFTER=2m")
	})
	c.WaitFor("the gateway to be ready", ready)
	return c
}

// send sends a request whose answer comes when it comes.
func (c *creel) send(under *sync.WaitGroup, r *harness.Request) {
	under.Go(func() {
		r.Send(c.Addr, &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}})
	})
}

// TestHangIsReplaced: a gateway that hangs with its port open is restarted.
// Requests that it had taken are sent again if they may be; those that came while
// it was suspected wait, and are executed once.
func TestHangIsReplaced(t *testing.T) {
	for _, o := range []crashgw.Options{{}, {IgnoreSIGTERM: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			c := listening(t, o)
			c.Get("/hang-all")
			var under sync.WaitGroup
			requests := []*harness.Request{{ID: "taken", Kind: "get"}, {ID: "put", Kind: "put"}, {ID: "keyed", Kind: "keyed"}}
			for _, r := range requests {
				c.send(&under, r)
			}
			harness.Poll(t, "all requests to be under way", func() bool { return c.Metric("creel_inflight_requests") == float64(len(requests)) }, c.Output.String)
			c.WaitFor("suspicion", func(st api.Status) bool { return st.State == gateway.Suspect })
			held := &harness.Request{ID: "held", Kind: "post"}
			c.send(&under, held)
			st := c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == 2 })
			under.Wait()
			for _, r := range append(requests, held) {
				if !r.OK() {
					t.Errorf("%v", r)
				}
			}
			executed := 0
			for _, e := range c.ReadLedger().Entries {
				if e.ID == "held" {
					executed++
				}
			}
			if executed != 1 {
				t.Errorf("the request that waited was executed %d times", executed)
			}
			if st.LastEnd == nil || st.LastEnd.Cause != gateway.CauseHang {
				t.Errorf("last end %+v", st.LastEnd)
			}
			c.requireEvents("suspect", "evidence")
			if events := c.Events(); !strings.Contains(events, `"waits_in"`) || !strings.Contains(events, `"requests_waiting":3`) {
				t.Errorf("the evidence says too little:\n%s", events)
			}
			if n := c.Metric(`creel_restarts_total{cause="hang"}`); n != 1 {
				t.Errorf("%v restarts are counted", n)
			}
		})
	}
}

// TestStoppedIsReplaced: the same for a gateway that somebody has stopped.
func TestStoppedIsReplaced(t *testing.T) {
	c := listening(t, crashgw.Options{})
	if err := syscall.Kill(c.WaitFor("ready", ready).PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == 2 })
	if events := c.Events(); !strings.Contains(events, `"state":"T"`) {
		t.Errorf("the evidence does not say that it was stopped:\n%s", events)
	}
}

// requireUnsuspected checks that nothing was made of what has happened.
func (c *creel) requireUnsuspected() {
	c.T.Helper()
	if st := c.WaitFor("ready", ready); st.Generation != 1 || st.Restarts != 0 {
		c.T.Errorf("status %+v", st)
	}
	if events := c.Events(); strings.Contains(events, `"kind":"suspect"`) {
		c.T.Errorf("it was suspected:\n%s", events)
	}
}

// TestBusyIsNoHang: at full load, answering its probe five seconds late, for three
// times as long as an idle gateway would have had.
func TestBusyIsNoHang(t *testing.T) {
	c := listening(t, crashgw.Options{})
	c.Get("/burn?for=1m") // till after the test: once idle, it would have to answer
	c.Get("/late?by=5s&for=12s")
	harness.Pause(t, 3*restartAfter)
	c.Get("/healthz")
	c.requireUnsuspected()
}

// TestStreamIsNoHang: a stream moves for longer than all thresholds, and nothing
// else is answered.
func TestStreamIsNoHang(t *testing.T) {
	c := listening(t, crashgw.Options{})
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(c.URL("/sse?n=100&every=100ms"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	c.Get("/late?by=1h&for=8s") // less than the stream takes: without it, it would have to answer
	got := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "id:") {
			got++
		}
	}
	if got != 100 {
		t.Errorf("%d events came", got)
	}
	c.requireUnsuspected()
}

// TestSlowRequestIsNoHang: one request takes longer than all thresholds, others get
// through beside it.
func TestSlowRequestIsNoHang(t *testing.T) {
	c := listening(t, crashgw.Options{})
	slow := make(chan string, 1)
	go func() { slow <- c.Get("/hang?for=10s") }()
	dice := rand.New(rand.NewPCG(3, 4))
	for {
		select {
		case body := <-slow:
			if !strings.Contains(body, `"ready":true`) {
				t.Errorf("the slow request got %s", body)
			}
			c.requireUnsuspected()
			return
		default:
			c.Get("/item?id=beside")
			harness.Pause(t, time.Duration(dice.IntN(100))*time.Millisecond)
		}
	}
}

// TestCreelStopped: a creel that was stopped together with its gateway, as when
// the machine stands still, does not make a hang of it. The gateway is stopped a
// little earlier and goes on a little later, so that questions are under way.
func TestCreelStopped(t *testing.T) {
	c := listening(t, crashgw.Options{})
	gatewayPID := c.WaitFor("ready", ready).PID
	signal := func(pid int, sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	const little = suspectAfter / 5
	for range 3 {
		signal(gatewayPID, syscall.SIGSTOP)
		harness.Pause(t, little)
		signal(c.Cmd.Process.Pid, syscall.SIGSTOP)
		harness.Pause(t, restartAfter)
		signal(c.Cmd.Process.Pid, syscall.SIGCONT)
		harness.Pause(t, little)
		signal(gatewayPID, syscall.SIGCONT)
		c.Get("/echo")
	}
	c.requireUnsuspected()
}
