package crash

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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

// TestStopLeavesNothing: after SIGTERM there is no process, no open port, no
// socket and no temporary file of creel's, even though the gateway had left an
// orphan in a session of its own.
func TestStopLeavesNothing(t *testing.T) {
	for _, o := range []crashgw.Options{
		{},
		{Orphan: crashgw.OrphanServe},
		{IgnoreSIGTERM: true},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			c := start(t, o)
			st := c.WaitFor("ready", ready)
			if resp, err := http.Post(c.URL("/upload"), "text/plain", strings.NewReader("x")); err != nil {
				t.Error(err)
			} else if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
			http.DefaultClient.CloseIdleConnections()
			if code := c.Stop(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			c.NothingLeft(st)
		})
	}
}

// TestOrphanThatKeepsThePort: kill -9 of the main process leaves an orphan that
// holds the port; the next instance comes up all the same.
func TestOrphanThatKeepsThePort(t *testing.T) {
	c := start(t, crashgw.Options{Orphan: crashgw.OrphanHold, Port: 0})
	before := c.Crash()
	st := c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == before.Generation+1 })
	if st.Addr != before.Addr {
		t.Logf("the port changed from %s to %s", before.Addr, st.Addr)
	}
	if body := c.Get("/item?id=after"); !strings.Contains(body, `"after"`) {
		t.Errorf("the next instance answered %s", body)
	}
}

// TestCreelKilled: SIGKILL of creel, twenty times, under load. The gateway never
// notices: same process, same generation, and no request fails while creel is up.
func TestCreelKilled(t *testing.T) {
	const kills = 20
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	client := &http.Client{Timeout: harness.Patience}
	defer client.CloseIdleConnections()
	for round := range kills {
		stop, failures := make(chan struct{}), make(chan error, 1000)
		var under sync.WaitGroup
		for range 4 {
			under.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					if err := getOK(client, c.URL("/echo")); err != nil {
						select {
						case failures <- err:
						default:
						}
					}
				}
			})
		}
		harness.Pause(t, 30*time.Millisecond)
		close(stop) // requests that creel's death cuts are not creel's to answer
		under.Wait()
		close(failures)
		for err := range failures {
			t.Errorf("round %d: %v", round, err)
		}
		c.Kill()
		c.Launch()
		st := c.WaitFor("ready", ready)
		if st.PID != before.PID || st.Generation != before.Generation {
			t.Fatalf("round %d: the gateway was pid %d, generation %d and is pid %d, generation %d", round, before.PID, before.Generation, st.PID, st.Generation)
		}
	}
	if n := strings.Count(c.Events(), `"kind":"adopted"`); n != kills {
		t.Errorf("the journal tells of %d takeovers", n)
	}
}

func getOK(client *http.Client, url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// TestBothKilled: the gateway dies while no creel watches. The next creel says
// so and starts it.
func TestBothKilled(t *testing.T) {
	c := start(t, crashgw.Options{Orphan: crashgw.OrphanHold})
	before := c.WaitFor("ready", ready)
	c.Kill()
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.AwaitEnd(before.PID)
	c.Launch()
	st := c.WaitFor("the next generation", func(st api.Status) bool { return st.OK && st.Generation == before.Generation+1 })
	if st.LastEnd == nil || st.LastEnd.Cause != gateway.CauseCreelAway {
		t.Errorf("the last end is told as %+v", st.LastEnd)
	}
}

// TestTwoCreels: a second creel on the same data folder says so and exits 2.
func TestTwoCreels(t *testing.T) {
	c := start(t, crashgw.Options{})
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	out, err := exec.Command(self, c.Args...).CombinedOutput()
	if !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("it ended with %v", err)
	}
	if want := fmt.Sprintf("another creel (pid %d) uses the data folder", c.Cmd.Process.Pid); !strings.Contains(string(out), want) {
		t.Errorf("it says %q, which lacks %q", out, want)
	}
	c.WaitFor("the first one to be well", ready)
}

// TestCrashLoop: a gateway that ends before it ever answers is given up, with
// the reason; requests are told so with Retry-After; `creel restart` leaves it.
func TestCrashLoop(t *testing.T) {
	c := prepare(t, crashgw.Options{ExitBeforeReady: true, ExitCode: 3})
	c.Launch()
	st := c.WaitFor("creel to give up", func(st api.Status) bool { return st.State == gateway.Failed })
	if st.LastEnd == nil || st.LastEnd.Cause != gateway.CauseExit || !strings.Contains(st.LastEnd.Message, "exit code 3") {
		t.Errorf("the last end is told as %+v", st.LastEnd)
	}
	resp, err := http.Get(c.URL("/item?id=x"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := harness.Request{ID: "x", Kind: "get"}
	r.Read(resp)
	if r.Status != 503 || r.Code != "crash_loop" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("the request got %v, Retry-After %q", &r, resp.Header.Get("Retry-After"))
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestFirstRequestKills is the pattern that gave creel its reason: the port
// check passes, the first request is answered 500 and ends the gateway. The
// client sees the answer of the next instance.
func TestFirstRequestKills(t *testing.T) {
	times := filepath.Join(t.TempDir(), "times")
	if err := os.WriteFile(times, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := start(t, crashgw.Options{FirstRequestKillsTimes: times})
	before := c.WaitFor("ready", ready)
	if body := c.Get("/item?id=first"); !strings.Contains(body, `"first"`) {
		t.Errorf("the client got %s", body)
	}
	if st := c.WaitFor("ready", ready); st.Generation != before.Generation+1 {
		t.Errorf("from generation %d to %d", before.Generation, st.Generation)
	}
}

// TestPortRefusedForAWhile: a gateway that closes its port for a moment, as one
// does that restarts within its process, is not restarted; requests wait.
func TestPortRefusedForAWhile(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.configure("timeout: 2s", "timeout: 30s") // for a machine that lets it wait meanwhile
	c.Launch()
	before := c.WaitFor("ready", ready)
	c.Get("/refuse?for=600ms&drop=1")
	if body := c.Get("/item?id=later"); !strings.Contains(body, `"later"`) {
		t.Errorf("the client got %s", body)
	}
	st := c.WaitFor("ready", ready)
	if st.PID != before.PID || st.Generation != before.Generation {
		t.Errorf("the gateway was pid %d, generation %d and is pid %d, generation %d", before.PID, before.Generation, st.PID, st.Generation)
	}
}

// TestLogFlood: a gateway that floods its output fills neither creel's memory
// nor the disk, and is served as ever.
func TestLogFlood(t *testing.T) {
	c := start(t, crashgw.Options{LogFlood: 30 << 20})
	logDir := filepath.Join(c.DataDir(), "gateways", "crash")
	harness.Poll(t, "the log to be rotated", func() bool {
		rotated, err := filepath.Glob(filepath.Join(logDir, "gateway.log.*"))
		return err == nil && len(rotated) >= 2
	}, c.Output.String)
	if body := c.Get("/item?id=flooded"); !strings.Contains(body, `"flooded"`) {
		t.Errorf("the client got %s", body)
	}
	if rss := c.Metric("process_resident_memory_bytes"); rss > 200<<20 {
		t.Errorf("creel uses %.0f MiB", rss/(1<<20))
	}
}

// TestStopAndStart: `creel stop` is told to clients, outlasts creel, and
// `creel start` takes it back.
func TestStopAndStart(t *testing.T) {
	c := start(t, crashgw.Options{})
	c.Post("stop?wait=30s")
	resp, err := http.Get(c.URL("/"))
	if err != nil {
		t.Fatal(err)
	}
	r := harness.Request{Kind: "get"}
	r.Read(resp)
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
	if r.Status != 503 || r.Code != "gateway_stopped" {
		t.Errorf("a request to a stopped gateway got %v", &r)
	}
	c.Kill()
	c.Launch()
	if st := c.WaitFor("creel", func(api.Status) bool { return true }); st.State != gateway.Stopped || !st.StopAsked {
		t.Errorf("after creel's restart the gateway is %s", st.State)
	}
	c.Post("start?wait=30s")
	c.WaitFor("ready", ready)
}
