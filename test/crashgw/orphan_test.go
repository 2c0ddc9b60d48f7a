package crashgw

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOrphanServes(t *testing.T) {
	ledger := ledgerPath(t)
	p := Start(t, Options{Orphan: OrphanServe, Ledger: ledger, DieAfterRequests: 30})
	eventually(t, "the orphan holds the socket", func() bool { return strings.Contains(p.Output(), "holding the socket") })
	for range 20 { // while the parent lives, the child does not accept
		if h := decode[Health](t, mustGet(t, p.URL+"/readyz", 200)); h.PID != p.PID || h.Orphan != p.OrphanPID {
			t.Fatalf("answered by %+v, want pid %d with orphan %d", h, p.PID, p.OrphanPID)
		}
	}
	if strings.Contains(p.Output(), "orphaned;") {
		t.Error("the child takes itself for an orphan while its parent lives")
	}
	if sid, err := unix.Getsid(p.OrphanPID); err != nil || sid != p.OrphanPID {
		t.Errorf("the orphan's session is %d, %v; want its own", sid, err)
	}
	mustGet(t, p.URL+"/refuse?for=1ms", 409)

	p.Kill()
	eventually(t, "the orphan serves", func() bool {
		r, err := request(t, "GET", p.URL+"/readyz", "")
		return err == nil && r.StatusCode == 200 && decode[Health](t, r).PID == p.OrphanPID
	})
	mustGet(t, p.URL+"/item?id=1", 200)
	if e := p.Ledger().Entries; len(e) != 1 || e[0].PID != p.OrphanPID {
		t.Errorf("ledger %+v, want one entry of the orphan", e)
	}
	wantPortTaken(t, p.Port)
}

func TestOrphanHolds(t *testing.T) {
	p := Start(t, Options{Orphan: OrphanHold})
	p.Kill()
	eventually(t, "the orphan knows", func() bool { return strings.Contains(p.Output(), "orphaned; going to hold") })
	conn := dial(t, p) // the port check passes …
	if _, err := conn.Write([]byte(hello("/healthz"))); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	// … and nobody answers.
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, %v; want silence", n, err)
	}
	wantPortTaken(t, p.Port)
}

// TestOrphanEnds: it must not outlive the tests by more than it is told.
func TestOrphanEnds(t *testing.T) {
	for _, kind := range []Orphan{OrphanServe, OrphanHold} {
		t.Run(string(kind), func(t *testing.T) {
			p := Start(t, Options{Orphan: kind, OrphanFor: time.Millisecond})
			p.Kill()
			eventually(t, "the port is free", func() bool {
				conn, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", p.Port))
				if err == nil {
					_ = conn.Close()
				}
				return errors.Is(err, syscall.ECONNREFUSED)
			})
		})
	}
}

// wantPortTaken starts another crashgw on the port, which must fail.
func wantPortTaken(t *testing.T, port int) {
	t.Helper()
	argv := Command(Options{Port: port})
	cmd := exec.Command(argv[0], argv[1:]...)
	if out, err := cmd.CombinedOutput(); err == nil || cmd.ProcessState.ExitCode() != ExitPortTaken {
		t.Errorf("a successor ends with code %d, want %d: %s", cmd.ProcessState.ExitCode(), ExitPortTaken, out)
	}
}
