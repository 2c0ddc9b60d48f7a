//go:build vm

package systemd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"creel/internal/api"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/test/crashgw"
	"creel/test/crashgw/state"
	"creel/test/harness"
)

// settings of a creel that takes snapshots, owns its gateway and asks who is there:
// all that goes by a clock. What is wrong with a gateway that hangs is as users have it.
const clocked = harness.Settings + `
snapshots: {every: 4s, settle: 2s, owner: "on", owner_term: 120s}
auth: {mode: link}
`

// day is what the clock is set by: more than any wait, and less than a session may
// be idle for.
const day = 24 * time.Hour

// clockwork is a creel with all that, a client, and its state.
type clockwork struct {
	*manager
	cookie string
	first  api.Status
	state  string
}

func wound(t *testing.T) *clockwork {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "state")
	w := &clockwork{manager: install(t, crashgw.Options{State: dir, StateEvery: 50 * time.Millisecond}, clocked, "--state", dir), state: dir}
	w.start()
	w.first = w.WaitFor("ready", harness.Ready)
	w.cookie = w.SignIn()
	return w
}

// start starts creel, and waits for its gateway. An emulated machine takes its time to
// open the store.
func (w *clockwork) start() {
	w.T.Helper()
	w.must("systemctl", "start", "creel.service")
	harness.Await(4*harness.Patience, func() bool {
		st, err := w.Status()
		return err == nil && st.OK
	})
	w.WaitFor("ready", harness.Ready)
}

// clients ask four times a second until they are told to end. Whatever is not answered
// with 200 fails the test: a session that has ended, too.
func (w *clockwork) clients() (end func()) {
	ctx, cancel := context.WithCancel(w.T.Context())
	client := &http.Client{Timeout: 2 * harness.Patience}
	var all sync.WaitGroup
	for n := range 2 {
		all.Go(func() {
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				method := []string{http.MethodGet, http.MethodPut, http.MethodPost}[i%3]
				if err := w.ask(client, method, fmt.Sprintf("/item?id=c%d-%d", n, i)); err != nil {
					w.T.Error(err)
				}
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
		client.CloseIdleConnections()
	}
}

func (w *clockwork) ask(client *http.Client, method, path string) error {
	req, err := http.NewRequest(method, w.URL(path), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Cookie", w.cookie)
	// What a browser says of a request that its own page makes.
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s %s %v", method, path, resp.Status, b, err)
	}
	return nil
}

// journal is what has happened, after the event with a number.
func (w *clockwork) journal(after uint64) []event.Event {
	w.T.Helper()
	var all []event.Event
	for line := range strings.Lines(w.Events()) {
		var e event.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			w.T.Fatalf("%v in %s", err, line)
		}
		if e.Seq > after {
			all = append(all, e)
		}
	}
	return all
}

// last is the number of the newest event.
func (w *clockwork) last() uint64 {
	w.T.Helper()
	all := w.journal(0)
	return all[len(all)-1].Seq
}

// await waits for an event after the one with that number.
func (w *clockwork) await(after uint64, kind event.Kind) event.Event {
	w.T.Helper()
	var found event.Event
	harness.Poll(w.T, string(kind), func() bool {
		for _, e := range w.journal(after) {
			if e.Kind == kind {
				found = e
				return true
			}
		}
		return false
	}, w.Events)
	return found
}

// renewed waits until the ownership was renewed, which is due every 40 s. Each time it
// is another file.
func (w *clockwork) renewed() {
	w.T.Helper()
	files := func() string {
		all, err := filepath.Glob("/var/lib/creel/snapshots/creel-owner/*")
		if err != nil || len(all) == 0 {
			w.T.Fatalf("no record of an owner: %v", err)
		}
		return strings.Join(all, " ")
	}
	before := files()
	harness.Poll(w.T, "the ownership to be renewed", func() bool { return files() != before }, w.Events)
}

// untouched: the gateway is the one of the beginning, and was never suspected.
func (w *clockwork) untouched(after uint64) {
	w.T.Helper()
	st, err := w.Status()
	if err != nil {
		w.T.Fatal(err)
	}
	if st.PID != w.first.PID || st.Generation != w.first.Generation || st.State != gateway.Ready {
		w.T.Errorf("the gateway is %+v, it was pid %d, generation %d", st, w.first.PID, w.first.Generation)
	}
	for _, e := range w.journal(after) {
		switch e.Kind {
		case event.ClockJumped, event.SnapshotTaken, event.Frozen, event.Thawed:
		case event.Recovered: // of what was before: at first an emulated machine opens the store too slowly
		default:
			w.T.Errorf("unlooked for: %s: %s", e.Kind, e.Message)
		}
	}
}

// TestClockIsSet sets the machine's clock: a day forward, two back, and a day forward
// again. Nothing comes of it but a line in the journal: the gateway runs on, requests
// are answered and sessions are good, snapshots are taken when they are due, the
// owner stays the owner, and the snapshot that was taken last is the newest one.
func TestClockIsSet(t *testing.T) {
	w := wound(t)
	w.await(0, event.SnapshotTaken)
	end := w.clients()
	shift := time.Duration(0)
	t.Cleanup(func() { w.must("date", "-s", at(-shift)) })
	for _, by := range []time.Duration{day, -2 * day, day} {
		before := w.last()
		w.must("date", "-s", at(by))
		shift += by
		jump := w.await(before, event.ClockJumped)
		if s, ok := jump.Fields["seconds"].(float64); !ok || math.Abs(s-by.Seconds()) > 5 {
			t.Errorf("the clock was set by %v; the journal: %+v", by, jump)
		}
		// Two: one may have been under way.
		w.await(w.await(jump.Seq, event.SnapshotTaken).Seq, event.SnapshotTaken)
		w.renewed()
		w.untouched(before)
	}
	end()

	w.must("systemctl", "stop", "creel.service") // and with it a last snapshot
	last, err := state.Check(w.state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.state); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.must("systemctl", "stop", "creel.service")
	if n, err := state.Check(w.state); err != nil || n < last {
		t.Errorf("the state that was restored is at transaction %d, the one that was lost at %d (%v)", n, last, err)
	}
}

// at is the time in so long, for date(1).
func at(by time.Duration) string { return "@" + strconv.FormatInt(time.Now().Add(by).Unix(), 10) }

// TestMachineStandsStill has the host hold the machine for longer than a gateway may
// show no sign of life: stopped by the hypervisor, where no time passes for it, and
// frozen, where its clock finds that much time has. Nobody takes that for a hang.
func TestMachineStandsStill(t *testing.T) {
	w := wound(t)
	w.await(0, event.SnapshotTaken)
	w.must("stty", "-F", "/dev/ttyS2", "raw", "-echo")
	host, err := os.OpenFile("/dev/ttyS2", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer host.Close()
	const held = 35 * time.Second // gateway.hang.suspect_after is 30 s
	source, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	if err != nil {
		t.Fatal(err)
	}
	// The HPET, by which an emulated machine may count time, begins anew after 43 s; the
	// kernel takes a step of more than half of that for none.
	notices := strings.TrimSpace(string(source)) != "hpet"
	for _, how := range []string{"stop", "freeze"} {
		end := w.clients()
		before, began := w.last(), time.Now()
		if _, err := fmt.Fprintf(host, "%s %.0f\n", how, held.Seconds()); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, len("done\n"))
		if _, err := io.ReadFull(host, said); err != nil || string(said) != "done\n" {
			t.Fatalf("the host said %q, %v", said, err)
		}
		if took := time.Since(began); (how == "freeze" && notices) != (took >= held) {
			t.Errorf("%s: %v have passed in the machine", how, took)
		}
		after := w.await(before, event.SnapshotTaken)
		w.await(after.Seq, event.SnapshotTaken)
		w.untouched(before)
		end()
	}
}
