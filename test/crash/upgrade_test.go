package crash

import (
	"bufio"
	"context"
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
	"creel/test/crashgw"
	"creel/test/harness"
)

// TestUpgrades: twenty upgrades under an open loop of requests, with streams
// and WebSockets open. No request is refused or fails, streams go on to their
// end, and the gateway never notices.
func TestUpgrades(t *testing.T) {
	const upgrades = 20
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	ctx, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	done := make(chan []*harness.Request, 1)
	go func() { done <- harness.Load(ctx, c.Addr, "r", 150, rand.New(rand.NewPCG(1, 2))) }()
	streams := c.streams(ctx)
	creels := []int{before.Creel.PID}
	for n := range upgrades {
		c.Post("upgrade")
		st := c.WaitFor("the successor", func(st api.Status) bool { return st.OK })
		if last := creels[len(creels)-1]; st.Creel.PID == last {
			t.Fatalf("upgrade %d: creel is still pid %d", n, last)
		}
		creels = append(creels, st.Creel.PID)
		if st.PID != before.PID || st.Generation != before.Generation {
			t.Fatalf("upgrade %d: the gateway was pid %d and is pid %d", n, before.PID, st.PID)
		}
	}
	stopLoad()
	all := <-done
	for _, r := range all {
		if !r.OK() {
			t.Errorf("a request failed: %v", r)
		}
	}
	t.Logf("%d requests", len(all))
	for err := range streams {
		t.Error(err)
	}
	for _, pid := range creels[:len(creels)-1] {
		c.AwaitEnd(pid)
	}
	last := creels[len(creels)-1]
	if err := syscall.Kill(last, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.AwaitEnd(last)
	c.NothingLeft(before)
}

// streams opens event streams, one after the other, until ctx ends. Each must
// come to its end. What went wrong is on the channel, which is closed at the end.
func (c *creel) streams(ctx context.Context) <-chan error {
	failures := make(chan error, 1000)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var under sync.WaitGroup
	for range 3 {
		under.Go(func() {
			for ctx.Err() == nil {
				if err := c.stream(client); err != nil {
					failures <- err
				}
			}
		})
	}
	go func() {
		under.Wait()
		close(failures)
	}()
	return failures
}

func (c *creel) stream(client *http.Client) error {
	const events = 25
	resp, err := client.Get(c.URL(fmt.Sprintf("/sse?n=%d&every=20ms", events)))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got := 0
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			got++
		}
	}
	if err := lines.Err(); err != nil || got != events {
		return fmt.Errorf("a stream ended after %d events: %v", got, err)
	}
	return nil
}

// TestUpgradeThatFails: the configuration has become unusable. The old creel
// says why and carries on, and requests notice nothing.
func TestUpgradeThatFails(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	good, err := os.ReadFile(c.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.ConfigPath(), append(good, "\nnonsense: true\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	resp, err := api.Client(c.DataDir()).Post(api.ControlURL("upgrade"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := harness.Request{Kind: "get"}
	r.Read(resp)
	if r.Code != "upgrade_failed" || !strings.Contains(r.Detail, "nonsense") {
		t.Errorf("got %v", &r)
	}
	st := c.WaitFor("ready", ready)
	if st.Creel.PID != before.Creel.PID || st.PID != before.PID {
		t.Errorf("creel was pid %d and is pid %d; the gateway was pid %d and is pid %d", before.Creel.PID, st.Creel.PID, before.PID, st.PID)
	}
	if body := c.Get("/item?id=after"); !strings.Contains(body, `"after"`) {
		t.Errorf("the client got %s", body)
	}
}

// TestSuccessorKilledInCharge: the successor is killed while the old creel still
// has a stream to finish. The next creel need not wait for that: it starts at
// once, the gateway never notices, and the stream goes on.
func TestSuccessorKilledInCharge(t *testing.T) {
	c := start(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	resp, err := http.Get(c.URL("/sse?n=1000000&every=20ms"))
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	old := c.Cmd.Process.Pid
	c.Post("upgrade")
	successor := c.WaitFor("the successor", ready).Creel.PID
	if err := syscall.Kill(successor, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.AwaitEnd(successor)
	c.Launch()
	var st api.Status
	harness.Poll(t, "the next creel", func() bool {
		select {
		case <-c.Exited: // the old one had not let go of the lock yet: once more, as a service manager does
			c.Launch()
		default:
		}
		var err error
		st, err = c.Status()
		return err == nil && st.OK && st.Creel.PID == c.Cmd.Process.Pid
	}, c.Output.String)
	if st.PID != before.PID || st.Generation != before.Generation {
		t.Errorf("the gateway was pid %d, generation %d and is pid %d, generation %d", before.PID, before.Generation, st.PID, st.Generation)
	}
	if _, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil {
		t.Errorf("the stream broke: %v", err)
	}
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Errorf("the old creel is gone: %v", err)
	}
}

// TestStopWithinAnUpgrade: whoever stops creel while it hands over has it stopped, with its
// gateway, and does not find the successor running afterwards.
func TestStopWithinAnUpgrade(t *testing.T) {
	c := prepare(t, crashgw.Options{BootDelay: time.Hour}) // so the successor settles for a while
	c.Launch()
	before := c.WaitFor("an instance", func(st api.Status) bool { return st.PID != 0 })
	asked := make(chan error, 1)
	go func() {
		resp, err := api.Client(c.DataDir()).Post(api.ControlURL("upgrade"), "", nil)
		if err == nil {
			err = resp.Body.Close()
		}
		asked <- err
	}()
	c.WaitFor("the successor to take over", func(st api.Status) bool { return st.Creel.PID != before.Creel.PID && st.PID == before.PID })
	if code := c.Stop(); code != 0 {
		t.Errorf("it ended with code %d", code)
	}
	if err := <-asked; err != nil {
		t.Error(err)
	}
	c.NothingLeft(before)
}

// TestUpgradeOfTheFirstProcess: the first process of a container cannot hand over, since
// the kernel ends the container, and the gateway, with it (pid_namespaces(7)). It says so,
// and carries on.
func TestUpgradeOfTheFirstProcess(t *testing.T) {
	c := prepare(t, crashgw.Options{})
	c.LaunchWith(func(cmd *exec.Cmd) {
		cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `mount --make-rprivate / && mount -t proc proc /proc && exec "$0" "$@"`}, cmd.Args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	})
	before := c.WaitFor("ready", ready)
	if before.Creel.PID != 1 {
		t.Fatalf("creel is pid %d", before.Creel.PID)
	}
	resp, err := api.Client(c.DataDir()).Post(api.ControlURL("upgrade"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := harness.Request{Kind: "get"}
	r.Read(resp)
	if r.Code != "upgrade_failed" || !strings.Contains(r.Detail, "container") {
		t.Errorf("got %v", &r)
	}
	if st := c.WaitFor("ready", ready); st.PID != before.PID || st.Generation != before.Generation {
		t.Errorf("the gateway was pid %d and is pid %d", before.PID, st.PID)
	}
	if code := c.Stop(); code != 0 {
		t.Errorf("it ended with code %d", code)
	}
}
