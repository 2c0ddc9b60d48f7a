//go:build e2e

package e2e

import (
	"encoding/json"
	"net"
	"net/http"
	"testing"
	"time"
)

// testStop: `creel stop` leaves no process of the gateway, and creel says so to
// whoever asks; then SIGTERM leaves nothing at all.
func testStop(t *testing.T, l *life) {
	before, cgroup := l.status(t), l.cgroup(t)
	began := time.Now()
	l.mustCommand(t, "stop")
	t.Logf("stopped after %v", time.Since(began).Round(time.Millisecond))
	for _, p := range l.processes(t) {
		if p.pid != l.creel.cmd.Process.Pid {
			t.Errorf("still running: %s", p)
		}
	}
	if conn, err := net.DialTimeout("tcp", before.Address, momentLimit); err == nil {
		conn.Close()
		t.Errorf("somebody still listens on the gateway's port, %s", before.Address)
	}
	if s := l.status(t); s.State != "stopped" || s.PID != 0 || s.OK {
		t.Errorf("creel status: %v", s)
	}
	a := l.get(t.Context(), "/")
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.status != http.StatusServiceUnavailable ||
		a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Retry-After") == "" || p.Code != "gateway_stopped" || p.Hint == "" {
		t.Errorf("a request to a stopped gateway: %v, %+v, %v", a, p, err)
	}
	l.end(t, l.creel)
	l.nothingLeft(t, cgroup)
	if r := l.command(t, "status"); r.code != 3 {
		t.Errorf("creel status at the end: %+v", r)
	}
}
