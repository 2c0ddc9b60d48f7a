// Package systemd runs the units of deploy/ under a real systemd, in namespaces
// of its own. The service runs crashgw in place of OpenClaw, and the port is a
// free one; every other line is what users get.
package systemd

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/api"
	"creel/test/crashgw"
	"creel/test/harness"
)

func TestMain(m *testing.M) {
	harness.RunIfAsked()
	goleak.VerifyTestMain(m)
}

// requireSystemd says what is missing. It is a failure where nothing may be
// skipped, as in CI.
func requireSystemd(t *testing.T) {
	t.Helper()
	missing := ""
	if os.Getuid() != 0 {
		missing = "only root can make the namespaces for a systemd"
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		missing = "there is no systemd: " + err.Error()
	}
	for _, tool := range []string{"unshare", "nsenter", "systemctl"} {
		if _, err := exec.LookPath(tool); err != nil {
			missing = err.Error()
		}
	}
	switch {
	case missing == "":
	case os.Getenv("TEST_NO_SKIP") != "":
		t.Fatal(missing + " (TEST_NO_SKIP is set: nothing may be skipped)")
	default:
		t.Skip(missing)
	}
}

// TestUnits is a life under systemd: the port is systemd's, the first client
// starts the service; creel is killed, upgraded, reloaded, restarted and stopped.
func TestUnits(t *testing.T) {
	for _, mode := range []string{"hybrid", "v2"} {
		t.Run(mode, func(t *testing.T) {
			if mode == "hybrid" && !hasV1(t) {
				t.Skip("this machine has cgroup v2 alone, and no hierarchy of v1 can be made in a namespace")
			}
			boot(t, mode, harness.Prepare(t, crashgw.Options{})).live()
		})
	}
}

// hasV1 tells whether there are hierarchies of cgroup v1, each a line here beside v2's.
func hasV1(t *testing.T) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n") > 1
}

// live is the life.
func (m *manager) live() {
	m.T.Helper()
	first := m.awaken()
	m.killed(first)
	m.upgraded()
	m.reloaded()
	m.restarted()
	m.stopped()
}

// awaken has the first client start the service.
func (m *manager) awaken() api.Status {
	m.T.Helper()
	m.must("systemctl", "start", "creel.socket")
	if m.property("ActiveState") != "inactive" {
		m.T.Fatal("the service runs before anybody has asked for it")
	}
	if body := m.Get("/item?id=first"); !strings.Contains(body, `"first"`) {
		m.T.Fatalf("the first client is answered %s", body)
	}
	first := m.WaitFor("ready", harness.Ready)
	harness.Poll(m.T, "the state of the gateway in systemd's status", func() bool {
		return strings.HasPrefix(m.property("StatusText"), "gateway ready")
	}, func() string { return m.must("systemctl", "status", "creel") })
	return first
}

// killed: systemd starts another creel, the gateway notices nothing, and no
// client is refused meanwhile.
func (m *manager) killed(before api.Status) {
	m.T.Helper()
	main := m.property("MainPID")
	clients := m.visit()
	m.must("kill", "-KILL", main)
	harness.Poll(m.T, "another creel", func() bool {
		now := m.property("MainPID")
		return now != "0" && now != main
	}, func() string { return m.must("systemctl", "status", "creel") })
	st := m.WaitFor("ready", harness.Ready)
	if st.PID != before.PID || st.Generation != before.Generation || !st.Adopted {
		m.T.Errorf("after creel's death the gateway is %+v, it was pid %d, generation %d", st, before.PID, before.Generation)
	}
	if n := m.property("NRestarts"); n != "1" {
		m.T.Errorf("systemd counts %s restarts", n)
	}
	clients.end()
}

// upgraded: another process is the service's, which is active all the while and
// was not restarted.
func (m *manager) upgraded() {
	m.T.Helper()
	main, restarts := m.property("MainPID"), m.property("NRestarts")
	clients := m.visit()
	m.must("/usr/local/bin/creel", "upgrade", "--data-dir", "/var/lib/creel")
	harness.Poll(m.T, "the successor to be the service's main process", func() bool {
		now := m.property("MainPID")
		return now != "0" && now != main && m.property("ActiveState") == "active"
	}, func() string { return m.must("systemctl", "status", "creel") })
	harness.Poll(m.T, "the old creel to end", func() bool {
		_, err := m.run("kill", "-0", main)
		return err != nil
	}, func() string { return m.must("systemctl", "status", "creel") })
	clients.end()
	if state, n := m.property("ActiveState"), m.property("NRestarts"); state != "active" || n != restarts {
		m.T.Errorf("after the upgrade the service is %s, with %s restarts", state, n)
	}
}

// reloaded: systemctl reload tells whether the configuration was taken.
func (m *manager) reloaded() {
	m.T.Helper()
	m.must("systemctl", "reload", "creel")
	good, err := os.ReadFile(m.ConfigPath())
	if err != nil {
		m.T.Fatal(err)
	}
	write(m.T, m.ConfigPath(), string(good)+"nonsense: true\n")
	if out, err := m.run("systemctl", "reload", "creel"); err == nil {
		m.T.Errorf("a reload of nonsense succeeds: %s", out)
	}
	write(m.T, m.ConfigPath(), string(good))
	if state := m.property("ActiveState"); state != "active" {
		m.T.Errorf("after the reloads the service is %s", state)
	}
}

// restarted: the gateway is stopped in good order and started again, and clients
// wait in systemd's socket.
func (m *manager) restarted() {
	m.T.Helper()
	before := m.WaitFor("ready", harness.Ready)
	m.must("systemctl", "restart", "creel")
	if body := m.Get("/item?id=again"); !strings.Contains(body, `"again"`) {
		m.T.Errorf("after the restart a client is answered %s", body)
	}
	if st := m.WaitFor("ready", harness.Ready); st.Generation != before.Generation+1 || st.Adopted {
		m.T.Errorf("after the restart the gateway is %+v", st)
	}
}

// stopped: nothing of the service is left.
func (m *manager) stopped() {
	m.T.Helper()
	m.must("systemctl", "stop", "creel.socket", "creel.service")
	if result := m.property("Result"); result != "success" {
		m.T.Errorf("the service ended with %s", result)
	}
	left := m.must("ps", "-e", "-o", "pid=,args=")
	for line := range strings.Lines(left) {
		if strings.Contains(line, m.Dir) {
			m.T.Errorf("left: %s", line)
		}
	}
}

// visitors ask again and again until they are told to end.
type visitors struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// visit has clients ask over new connections; whatever is not answered with 200
// fails the test.
func (m *manager) visit() *visitors {
	ctx, cancel := context.WithCancel(m.T.Context())
	v := &visitors{cancel: cancel}
	for n := range 2 {
		v.done.Go(func() {
			client := &http.Client{Timeout: harness.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
			for ctx.Err() == nil {
				resp, err := client.Get(m.URL("/item?id=visitor" + strconv.Itoa(n)))
				if err != nil {
					// A connection that the killed creel had taken ends with it.
					if !strings.Contains(err.Error(), "refused") {
						continue
					}
					m.T.Errorf("a client is refused: %v", err)
					return
				}
				_ = resp.Body.Close() // nothing of it is wanted
				if resp.StatusCode != http.StatusOK {
					m.T.Errorf("a client is answered %s", resp.Status)
					return
				}
			}
		})
	}
	return v
}

func (v *visitors) end() {
	v.cancel()
	v.done.Wait()
}
