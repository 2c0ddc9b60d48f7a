package crash

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/api"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/test/crashgw"
	"creel/test/harness"
)

// onSmallDisk is a creel whose data folder is a file system of its own.
func onSmallDisk(t *testing.T, o crashgw.Options) *creel {
	t.Helper()
	c := prepare(t, o)
	if err := os.Mkdir(c.DataDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	c.mount("tmpfs", "tmpfs", 0, "size=4m")
	c.Launch()
	c.WaitFor("ready", ready)
	return c
}

// mount mounts something on the data folder, for the time of the test.
func (c *creel) mount(source, kind string, flags uintptr, options string) {
	c.T.Helper()
	if err := unix.Mount(source, c.DataDir(), kind, flags, options); err != nil {
		c.T.Fatalf("cannot mount %s on the data folder: %v; this test has to run as root", source, err)
	}
	c.T.Cleanup(func() {
		select {
		case <-c.Exited:
		default:
			c.Stop()
		}
		// It is there no more if the test has taken it away itself.
		if err := unix.Unmount(c.DataDir(), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			c.T.Error(err)
		}
	})
}

func (c *creel) filler() string { return filepath.Join(c.DataDir(), "filler") }

// fill leaves no byte free in the data folder.
func (c *creel) fill() {
	c.T.Helper()
	f, err := os.OpenFile(c.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.T.Fatal(err)
	}
	defer f.Close()
	piece := bytes.Repeat([]byte("x"), 4096)
	for err == nil {
		_, err = f.Write(piece)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		c.T.Fatal(err)
	}
}

func (c *creel) makeRoom() {
	c.T.Helper()
	if err := os.Remove(c.filler()); err != nil {
		c.T.Fatal(err)
	}
}

// waitDegraded waits until a condition holds, and looks whether it is told in
// all places.
func (c *creel) waitDegraded(want health.Condition) {
	c.T.Helper()
	c.WaitFor(string(want), func(st api.Status) bool { return degraded(st, want) })
	if metrics := c.Get("/_creel/metrics"); !strings.Contains(metrics, fmt.Sprintf("creel_degraded{condition=%q} 1", want)) {
		c.T.Errorf("the metrics do not tell of %s", want)
	}
}

func degraded(st api.Status, want health.Condition) bool {
	for _, r := range st.Degraded {
		if r.Condition == want {
			return r.Message != "" && !r.Since.IsZero() && len(st.Trouble) == len(st.Degraded)
		}
	}
	return false
}

func (c *creel) waitWell() {
	c.T.Helper()
	c.WaitFor("all to be well", func(st api.Status) bool { return st.OK && len(st.Degraded) == 0 })
	if metrics := c.Get("/_creel/metrics"); strings.Contains(metrics, "} 1\ncreel_degraded") || strings.Contains(metrics, `writable"} 1`) {
		c.T.Error("the metrics do not tell that all is well")
	}
}

// TestDiskFull: the data folder is full. Requests are passed on; a large body
// whose instance crashes is sent again, since the gateway is started with what
// was kept in reserve; a creel that is killed takes it over.
func TestDiskFull(t *testing.T) {
	c := onSmallDisk(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	c.fill()
	c.waitDegraded(health.DataFolder)
	c.waitDegraded(health.LowSpace)
	if body := c.Get("/item?id=full"); !strings.Contains(body, `"full"`) {
		t.Errorf("a request was answered with %s", body)
	}
	r := &harness.Request{ID: "killer", Kind: "upload"}
	resp := c.put("/item?id=killer&die=before-headers&times=1", bytes.Repeat([]byte("u"), (256<<10)))
	r.Read(resp)
	if err := resp.Body.Close(); err != nil || !r.OK() {
		t.Errorf("an upload whose instance crashed: %v (%v)", r, err)
	}
	after := c.WaitFor("ready", ready)
	if after.Generation != before.Generation+1 || after.Fruitless != 0 {
		t.Errorf("generation %d follows %d; %d were fruitless", after.Generation, before.Generation, after.Fruitless)
	}
	c.fill() // what the reserve has left, too
	c.fillJournal()
	c.waitDegraded(health.Journal)
	c.Kill()
	c.Launch()
	if st := c.WaitFor("ready under the next creel", ready); st.PID != after.PID || st.Generation != after.Generation {
		t.Errorf("the gateway was pid %d, generation %d and is pid %d, generation %d", after.PID, after.Generation, st.PID, st.Generation)
	}
	c.makeRoom()
	c.waitWell()
	if said := c.Events(); !strings.Contains(said, `"kind":"degraded"`) {
		t.Errorf("the journal does not tell of it: %s", said)
	}
}

// fillJournal makes events until the disk takes no more of them.
func (c *creel) fillJournal() {
	c.T.Helper()
	harness.Poll(c.T, "the journal to be without room", func() bool {
		c.postCode("reload")
		st, err := c.Status()
		return err == nil && degraded(st, health.Journal)
	}, c.Output.String)
}

// keepFull takes every byte that is freed, until the function that it returns is
// called.
func (c *creel) keepFull() (stop func()) {
	c.T.Helper()
	f, err := os.OpenFile(c.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.T.Fatal(err)
	}
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		piece := bytes.Repeat([]byte("x"), 4096)
		for {
			select {
			case <-over:
				return
			default:
				_, _ = f.Write(piece) // fails nearly always, as it is to
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(over)
		<-ended
		if err := f.Close(); err != nil {
			c.T.Error(err)
		}
	})
}

// TestStartWaitsForRoom: the gateway crashes while something else takes every
// byte that is freed, the reserve too. Nothing is started that could not be
// found again; it is said why, requests wait, and as soon as there is room the
// gateway is back by itself.
func TestStartWaitsForRoom(t *testing.T) {
	c := onSmallDisk(t, crashgw.Options{})
	stop := c.keepFull()
	defer stop()
	c.waitDegraded(health.DataFolder)
	harness.Poll(t, "a start to wait", func() bool {
		st, err := c.Status()
		if err == nil && st.OK {
			_ = syscall.Kill(st.PID, syscall.SIGKILL) // creel was quicker than the filling, or has not been tried yet
		}
		return err == nil && degraded(st, health.Start)
	}, c.Output.String)
	held := make(chan *harness.Request, 1)
	go func() {
		r := &harness.Request{ID: "held", Kind: "get"}
		r.Err = c.getInto(r)
		held <- r
	}()
	st := c.WaitFor("the request to wait", func(st api.Status) bool { return st.Held == 1 || len(held) == 1 })
	if st.Held == 1 && (st.PID != 0 || st.State != gateway.Starting) || st.Fruitless >= 8 {
		t.Errorf("while nothing can be written: %+v", st)
	}
	stop()
	c.makeRoom()
	if r := <-held; !r.OK() {
		t.Errorf("the request that waited: %v", r)
	}
	c.waitWell()
}

// TestDataFolderReadOnly: likewise for a folder that became read-only, in which
// not even the record of the dead instance can be removed.
func TestDataFolderReadOnly(t *testing.T) {
	c := onSmallDisk(t, crashgw.Options{})
	before := c.WaitFor("ready", ready)
	// The same folder, mounted over itself: what is open already stays writable,
	// as nothing could be made read-only otherwise.
	c.mount(c.DataDir(), "", unix.MS_BIND, "")
	c.mountReadOnly()
	c.waitDegraded(health.DataFolder)
	if body := c.Get("/item?id=ro"); !strings.Contains(body, `"ro"`) {
		t.Errorf("a request was answered with %s", body)
	}
	if st := c.WaitFor("ready", ready); st.PID != before.PID {
		t.Errorf("the gateway was pid %d and is pid %d", before.PID, st.PID)
	}
	c.Crash()
	c.waitDegraded(health.Start)
	if err := unix.Unmount(c.DataDir(), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if after := c.WaitFor("ready", ready); after.Generation != before.Generation+1 {
		t.Errorf("generation %d follows %d", after.Generation, before.Generation)
	}
	c.waitWell()
}

func (c *creel) mountReadOnly() {
	c.T.Helper()
	if err := unix.Mount("", c.DataDir(), "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		c.T.Fatal(err)
	}
}

func (c *creel) put(path string, body []byte) *http.Response {
	c.T.Helper()
	req, err := http.NewRequest(http.MethodPut, c.URL(path), bytes.NewReader(body))
	if err != nil {
		c.T.Fatal(err)
	}
	req.GetBody = nil
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: harness.Patience}).Do(req)
	if err != nil {
		c.T.Fatal(err)
	}
	return resp
}

// getInto asks for an item on a connection of its own.
func (c *creel) getInto(r *harness.Request) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: harness.Patience}
	resp, err := client.Get(c.URL("/item?id=" + r.ID))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r.Read(resp)
	return r.Err
}
