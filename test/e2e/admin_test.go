//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"creel/test/fake"
)

// TestAdmin is an owner's first day with creel's own pages: the link, a crash, a
// device that asks, a snapshot and the way back to it, a session that is ended. One
// tab is used as a person uses it; what happens shows in it by itself.
//
// It is played alone, since it also says how fast the pages and the API are.
func TestAdmin(t *testing.T) {
	s := newStage(t)
	s.say(t, "First run: no configuration at all")
	// The phone below comes through a proxy, from another machine.
	s.extra = append(s.extra, "CREEL_PROXY_TRUSTED_PROXIES=127.0.0.1")
	s.creel = s.folder.up(t)
	s.link = s.creel.link(t)
	page := s.browser.open(t, s.link)
	s.shows(t, page)
	page.until(t, "the link leads to the Overview, which says that the gateway runs", overviewSays("Running", 1))
	s.snap(t, page, "overview")
	page.firstView(t)

	s.adminCrash(t, page)
	in := s.adminDevice(t, page)
	s.adminRestore(t, page, in)
	s.say(t, "The pages, on a phone and in the dark")
	s.looks(t, page)
	s.adminSession(t, page)
	s.end(t)
}

const (
	live = `!!document.querySelector("#streaming.on")`
	// hero is the state in a word or two.
	hero = `document.querySelector(".hero h2")?.textContent`
)

// overviewSays is the condition that the Overview is live, and tells of a state in
// which the gateway is in that generation.
func overviewSays(state string, generation int) string {
	return live + " && " + hero + " === " + quote(state) + " && " +
		`[...document.querySelectorAll(".hero .facts div")].some((fact) => fact.textContent === ` + quote(fmt.Sprint("Generation", generation)) + ")"
}

// adminCrash: the gateway is killed. The page says so, and the timeline why.
func (s *stage) adminCrash(t *testing.T, page *page) {
	t.Helper()
	s.say(t, "The gateway is killed")
	page.keep(t)
	s.kill(t)
	page.until(t, "the Overview says that it does not run", `/^(Waiting to start again|Starting)$/.test(`+hero+`)`)
	s.snap(t, page, "killed")
	page.until(t, "it runs again", overviewSays("Running", 2)+` && /last end: it was killed/i.test(document.querySelector(".hero").textContent)`)
	page.kept(t)
	s.snap(t, page, "runs-again")
	page.visit(t, "Timeline")
	page.until(t, "the timeline names the cause", live+` && [...document.querySelectorAll(".rail li")].some((entry) =>
		/Gateway ended/.test(entry.textContent) && /generation 1/.test(entry.textContent) && /SIGKILL/.test(entry.textContent))`)
	s.snap(t, page, "timeline")
}

// adminDevice: a phone asks to be let in, and appears; one click, and it is in. It
// gives a channel that tells whenever the phone has come in.
func (s *stage) adminDevice(t *testing.T, page *page) <-chan struct{} {
	t.Helper()
	s.say(t, "A device on another machine asks to be let in")
	page.visit(t, "Devices")
	page.until(t, "no device waits", live+` && `+shown("No device is waiting"))
	page.keep(t)
	token := tokenOf(t, s.folder, s.link)
	phone := fake.NewDevice(t, "Anna's phone", visitor)
	phone.Cookie = s.door.cookie
	if _, err := phone.Connect(t.Context(), s.listen, token); err == nil || !strings.Contains(err.Error(), "pairing required") {
		t.Fatalf("an unknown device: %v", err)
	}
	page.until(t, "it appears by itself", shown(phone.Name)+" && "+shown(visitor))
	s.snap(t, page, "device-asks")
	s.say(t, "One click lets it in")
	began := time.Now()
	page.press(t, "Approve")
	in := s.connects(t, phone, token)
	receive(t, in, "the device is in")
	t.Logf("the device is in %v after the click", time.Since(began).Round(time.Millisecond))
	page.until(t, "the page says so", `[...document.querySelectorAll("[data-region=known] .person")].some((p) =>
		p.textContent.includes(`+quote(phone.Name)+`) && /connected now/.test(p.textContent)) && `+shown("No device is waiting"))
	page.kept(t)
	s.snap(t, page, "device-in")
	s.wantQuickList(t, phone)
	return in
}

// connects has a device connect, and connect again whenever it has lost the gateway,
// until the test is over. It tells of each time that it is in.
func (s *stage) connects(t *testing.T, device *fake.Device, token string) <-chan struct{} {
	t.Helper()
	in := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() { // ends with ctx
		defer close(done)
		again := time.NewTicker(250 * time.Millisecond)
		defer again.Stop()
		for ctx.Err() == nil {
			conn, err := device.Connect(ctx, s.listen, token)
			if err == nil {
				select {
				case in <- struct{}{}:
				default: // nobody has asked since the last time
				}
				for err == nil {
					_, _, err = conn.Read(ctx)
				}
				_ = conn.CloseNow() // it is gone
			}
			if ctx.Err() == nil {
				t.Logf("%s: %v", device.Name, err)
			}
			select {
			case <-again.C:
			case <-ctx.Done():
			}
		}
	}()
	return in
}

// wantQuickList asks the API for the devices, as a script does, and says how long it
// takes.
func (s *stage) wantQuickList(t *testing.T, phone *fake.Device) {
	t.Helper()
	var took []time.Duration
	for range 20 {
		a := s.get(t.Context(), "/_creel/api/v1/devices")
		if a.err != nil || a.status != http.StatusOK || !strings.Contains(a.body, phone.ID) {
			t.Fatalf("the devices: %v", a)
		}
		took = append(took, a.took)
	}
	slices.Sort(took)
	t.Logf("evidence: the list of devices through the API, %d requests, each on a connection of its own: p50 %v, %v to %v",
		len(took), took[len(took)/2].Round(10*time.Microsecond), took[0].Round(10*time.Microsecond), took[len(took)-1].Round(10*time.Microsecond))
}

// adminRestore: a snapshot, a file changes, and the way back.
func (s *stage) adminRestore(t *testing.T, page *page, in <-chan struct{}) {
	t.Helper()
	const note, then, now = "as it was on the first day", "then", "now"
	marker := filepath.Join(s.workspace(), "marker.txt")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(marker), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(marker, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.say(t, "A snapshot, now")
	write(then)
	page.visit(t, "Snapshots")
	page.fill(t, "#note", note)
	page.press(t, "Snapshot now")
	page.until(t, "it is taken", shown("Snapshot taken"))
	s.snap(t, page, "snapshot")
	page.visit(t, "Snapshots")
	page.visit(t, "Asked for")
	page.until(t, "it is the one", shown(note))

	s.say(t, "A file of the agent's changes, and the snapshot is put back")
	write(now)
	page.press(t, "Restore …")
	page.until(t, "it says what will happen", `/what will happen/i.test(document.body.innerText)`)
	s.snap(t, page, "restore-asks")
	page.press(t, "Restore this snapshot")
	page.until(t, "it shows how far it is", `location.pathname.startsWith("/_creel/jobs/") && !!document.querySelector("progress")`)
	s.snap(t, page, "restore-progress")
	drain(in)
	page.keep(t)
	page.until(t, "it says what is waited for", shown("The gateway: Starting"))
	s.snap(t, page, "restore-starts")
	page.until(t, "it is done", `document.querySelector(".state.ok h1")?.textContent === "Done" && `+shown("is in place, and the gateway runs on it"))
	page.kept(t)
	s.snap(t, page, "restored")
	wantFile(t, marker, then)
	receive(t, in, "the device is in again by itself")
	page.visit(t, "Overview")
	page.until(t, "the gateway runs on it", overviewSays("Running", 3))
}

// adminSession: the owner makes a link for another browser, and later ends the
// session that began with it.
func (s *stage) adminSession(t *testing.T, page *page) {
	t.Helper()
	s.say(t, "A link for another browser")
	page.visit(t, "Settings")
	page.press(t, "Make a link to sign in")
	page.until(t, "there is a link", `!!document.querySelector("#link")?.textContent.startsWith(location.origin + "/_creel/login?code=")`)
	// Not in a picture: who sees it could use it.
	link := page.eval(t, `document.querySelector("#link").textContent`)
	other := s.browse(t)
	there := other.open(t, link+"&next=/_creel/settings")
	there.size(t, phoneWidth, windowHeight, true)
	there.until(t, "the other browser is signed in", `location.pathname === "/_creel/settings" && !!document.querySelector("#sessions")`)

	s.say(t, "Its session is ended")
	page.visit(t, "Settings")
	page.until(t, "its session is in the list", otherSession+" !== undefined")
	s.snap(t, page, "sessions")
	if _, err := within(page, momentLimit, chromedp.Evaluate[bool]("("+otherSession+`.querySelector("a").click(), true)`)); err != nil {
		t.Fatal(err)
	}
	page.until(t, "it asks once", `!!document.querySelector("dialog[open] .confirm")`)
	s.snap(t, page, "end-session")
	page.press(t, "End it")
	page.until(t, "it has ended", `!!document.querySelector(".flash.ok") && `+otherSession+" === undefined")
	s.snap(t, page, "session-ended")

	s.say(t, "The next click in the other browser")
	s.shows(t, there)
	there.visit(t, "Overview")
	there.until(t, "it leads to the page to sign in at", `location.pathname === "/_creel/login" && `+shown("Sign in to creel")+` && !`+shown("Running"))
	s.snap(t, there, "signed-out")
	other.close(t)

	s.shows(t, page)
	page.visit(t, "Overview")
	page.until(t, "the owner's own session goes on", overviewSays("Running", 3))
}

// otherSession is the line of the session of another browser; undefined: there is none.
const otherSession = `[...document.querySelectorAll("#sessions tbody tr:not(.chosen)")].find((line) => line.textContent.includes("Chrome"))`

// keep marks the document that a tab shows.
func (p *page) keep(t *testing.T) {
	t.Helper()
	p.eval(t, `window.kept = "yes"`)
}

// kept checks that it is still the same: it was not loaded anew.
func (p *page) kept(t *testing.T) {
	t.Helper()
	if p.eval(t, `String(window.kept)`) != "yes" {
		t.Error("the page was loaded anew")
	}
}
