package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"creel/test/crashgw"
	"creel/test/harness"
)

// brokenWorld is a world that is to be found wrong; wrong is what was found.
func brokenWorld(t *testing.T, settings string) (w *world, wrong *[]string) {
	t.Helper()
	w = newWorldWith(t, 0, rand.New(rand.NewPCG(1, 2)), settings)
	wrong = &[]string{}
	w.reported = wrong
	return w, wrong
}

// store is a client of the store, with more parameters for each request.
func (w *world) store(t *testing.T, more string) *storeClient {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &storeClient{http: &http.Client{Transport: transport, Timeout: harness.Patience}, url: w.URL("/store?list=l" + more), list: "l"}
}

// TestBrokenReplay: a creel that sends a POST again though the app does not
// remember keys. It takes the word of its configuration, which lies. The history
// of what clients saw is then found wrong.
func TestBrokenReplay(t *testing.T) {
	w, _ := brokenWorld(t, settings)
	dies := w.store(t, "&forget=1&die=before-headers&times=1&id=x")
	history := []operation{
		w.store(t, "").do("add", http.MethodPost, "a", ""),
		dies.do("add", http.MethodPost, "b", "key"),
		w.store(t, "").do("read", http.MethodGet, "", ""),
	}
	if history[1].Result != answered {
		t.Fatalf("the POST was not sent again: %+v", history[1])
	}
	if err := checkHistory(history); err == nil {
		t.Errorf("nothing wrong was found: %+v", history)
	}
}

// TestSoundReplay is the same with an app that does remember: nothing is wrong.
func TestSoundReplay(t *testing.T) {
	w, _ := brokenWorld(t, settings)
	dies := w.store(t, "&die=before-headers&times=1&id=x")
	history := []operation{dies.do("add", http.MethodPost, "b", "key"), w.store(t, "").do("read", http.MethodGet, "", "")}
	if history[0].Result != duplicate {
		t.Fatalf("the POST was not sent again: %+v", history[0])
	}
	if err := checkHistory(history); err != nil {
		t.Error(err)
	}
}

// TestBrokenState: the last acknowledged change is gone after a crash, as if an
// older state had been put back.
func TestBrokenState(t *testing.T) {
	w, _ := brokenWorld(t, settings)
	c := w.store(t, "")
	history := []operation{c.do("add", http.MethodPost, "a", ""), c.do("add", http.MethodPost, "b", "")}
	b, err := os.ReadFile(w.StorePath)
	if err != nil {
		t.Fatal(err)
	}
	first := bytes.IndexByte(b, '\n') + 1
	if err := os.Truncate(w.StorePath, int64(first)); err != nil {
		t.Fatal(err)
	}
	before := w.Crash()
	w.await("the next generation", func() error {
		if st := w.steady(); st.Generation == before.Generation {
			return fmt.Errorf("it is still generation %d", st.Generation)
		}
		return nil
	})
	history = append(history, c.do("read", http.MethodGet, "", ""))
	if history[0].Result != answered || history[1].Result != answered || history[2].Result != answered {
		t.Fatalf("not everything was answered: %+v", history)
	}
	if err := checkHistory(history); err == nil {
		t.Errorf("nothing wrong was found: %+v", history)
	}
}

// TestBrokenSingle: a second instance lives beside the first.
func TestBrokenSingle(t *testing.T) {
	w, wrong := brokenWorld(t, settings)
	w.checkLives()
	if len(*wrong) > 0 {
		t.Fatalf("wrong from the first: %v", *wrong)
	}
	crashgw.Start(t, crashgw.Options{Lives: w.LivesPath}, "CREEL_GENERATION=2")
	w.checkLives()
	wantReport(t, *wrong, "while another instance lived")
}

// TestBrokenPlace: a file, an open file and a process too many.
func TestBrokenPlace(t *testing.T) {
	w, wrong := brokenWorld(t, settings)
	st := w.steady()
	w.checkOpenFiles(st)
	w.checkPlace(st)
	if len(*wrong) > 0 {
		t.Fatalf("wrong from the first: %v", *wrong)
	}
	if err := os.WriteFile(filepath.Join(w.DataDir(), "gateways", "chaos", "instance.json.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command("sleep", "300")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stranger.Process.Kill() // it may have been ended with the cgroup
		_ = stranger.Wait()
	})
	grouped := w.joinCgroup(stranger.Process.Pid)
	w.checkPlace(st)
	wantReport(t, *wrong, "a file is left: gateways/chaos/instance.json.tmp")
	if grouped {
		wantReport(t, *wrong, "the cgroup of pid")
	}

	extra, err := os.Open(w.ConfigPath())
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	w.Kill()
	w.launched = time.Now() // else it might be taken for one that does not come up
	w.LaunchWith(func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{extra} })
	fds, err := w.openFiles(w.steady())
	if err != nil || slices.Equal(fds, w.fds) {
		t.Errorf("an open file too many was not found: %v, %v", fds, err)
	}
}

// joinCgroup moves a process into the gateway's cgroup, if there is one.
func (w *world) joinCgroup(pid int) bool {
	rec, err := w.record()
	if err != nil {
		w.T.Fatal(err)
	}
	if rec.Cgroup == "" {
		return false
	}
	if err := os.WriteFile(filepath.Join(rec.Cgroup, "cgroup.procs"), fmt.Append(nil, pid), 0); err != nil {
		w.T.Fatal(err)
	}
	return true
}

// TestBrokenPromise: requests that fail for no reason that the round explains.
func TestBrokenPromise(t *testing.T) {
	var wrong []string
	w := &world{Creel: &harness.Creel{T: t}, reported: &wrong}
	r := &round{windows: []window{{from: 100, to: 200}}, scenario: scenario{codes: stopCodes}}
	right := func(what string, from, to int64, replayable bool, code string) {
		t.Helper()
		if w.checkFailure(r, what, from, to, replayable, code, nil); len(wrong) > 0 {
			t.Errorf("%s was found wrong: %v", what, wrong)
			wrong = nil
		}
	}
	bad := func(what string, from, to int64, replayable bool, code string) {
		t.Helper()
		if w.checkFailure(r, what, from, to, replayable, code, nil); len(wrong) == 0 {
			t.Errorf("%s was not found wrong", what)
		}
		wrong = nil
	}
	if !strings.Contains(settings, "drain: "+drain.String()) {
		t.Errorf("the settings do not say %v", drain)
	}
	r.ends = true
	right("one that was under way for as long as a restart waits", 300, 300+int64(drain), false, "gateway_restarted")
	bad("one that a restart has not waited for", 300, 299+int64(drain), false, "gateway_restarted")
	bad("one that could have been sent again", 300, 300+int64(drain), true, "gateway_restarted")
	r.ends = false
	bad("one of a gateway that was not restarted", 300, 300+int64(drain), false, "gateway_restarted")
	right("a request that creel's death has cut", 50, 110, true, "")
	right("one of the time without a creel", 150, 250, false, "")
	right("one to a gateway that is stopped", 10, 20, true, "gateway_stopped")
	bad("one that got nothing while creel was there", 10, 20, true, "")
	bad("one after creel had come back", 201, 300, false, "")
	bad("a replayable one that was lost", 10, 20, true, "gateway_crashed")
	bad("one that was told of a crash that was none", 10, 20, false, "gateway_crashed")
	r.ends = true
	right("a POST that a crash has cut", 10, 20, false, "gateway_crashed")
	bad("a POST that was told something else", 10, 20, false, "no_response")
}

// TestBrokenGateway: the checks of a whole round find a gateway that was replaced
// though nothing has ended it.
func TestBrokenGateway(t *testing.T) {
	w, wrong := brokenWorld(t, settings)
	w.play(scenario{name: "nothing", act: func(_ *world, r *round) error {
		return syscall.Kill(r.before.PID, syscall.SIGKILL)
	}, over: nextGeneration})
	wantReport(t, *wrong, "the gateway was generation 1")
}

func wantReport(t *testing.T, reports []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(reports, func(r string) bool { return strings.Contains(r, want) }) {
		t.Errorf("found wrong is %q, which lacks %q", reports, want)
	}
}
