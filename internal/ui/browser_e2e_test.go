//go:build e2e

package ui

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"creel/internal/auth"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/problem"
	"creel/internal/snapshot"
)

// These tests show the pages in the real Chromium, over a world made of fakes.
// test/e2e/setup installs what they need. Their screenshots are in
// $CREEL_E2E_ARTIFACTS, or else in the folder artifacts here.

const (
	browserLimit = 30 * time.Second
	// axe-core 4.14.1 (MPL-2.0), from npm; test/e2e/setup puts it there.
	axeSum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
)

// site is a world that is served, and a browser that looks at it.
type site struct {
	t      *testing.T
	w      *world
	server *httptest.Server
	who    func() auth.Principal
	setWho func(auth.Principal)

	ctx   context.Context // the tab's
	mu    sync.Mutex
	asked []string // all addresses that the browser has asked for
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, w: full()}
	var mu sync.Mutex
	who := anna
	s.setWho = func(p auth.Principal) { mu.Lock(); defer mu.Unlock(); who = p }
	s.who = func() auth.Principal { mu.Lock(); defer mu.Unlock(); return who }
	u := New(s.w.opts)
	mux := http.NewServeMux()
	for _, route := range u.Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			p := s.who()
			if !p.May(route.Needs) {
				(&problem.Document{Status: http.StatusForbidden, Title: "Not allowed", Detail: "this needs " + string(route.Needs)}).Write(w)
				return
			}
			route.Handler.ServeHTTP(w, r.WithContext(auth.With(r.Context(), p)))
		})
	}
	mux.HandleFunc("/", s.app)
	s.server = httptest.NewServer(http.NewCrossOriginProtection().Handler(mux))
	t.Cleanup(s.server.Close)
	t.Cleanup(u.Close)
	s.browse()
	return s
}

// app is the gateway, behind the pages that stand in for it.
func (s *site) app(w http.ResponseWriter, r *http.Request) {
	l := &Loading{Gateway: demanded{s.w.sup}, Who: func(*http.Request) auth.Principal { return s.who() }}
	if l.Waiting(w, r) {
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, "<!doctype html><title>the app</title><p>the app itself</p>")
}

func (s *site) browse() {
	s.t.Helper()
	profile := s.t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.UserDataDir(profile),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Env("HOME="+profile))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	s.ctx = ctx
	s.t.Cleanup(func() {
		end, cancel := context.WithTimeout(ctx, browserLimit)
		defer cancel()
		if err := chromedp.Cancel(end); err != nil {
			s.t.Errorf("cannot end Chromium: %v", err)
		}
		stop()
		stopAllocator()
	})
	if err := chromedp.Do(ctx); err != nil {
		s.t.Fatalf("cannot start Chromium: %v", err)
	}
	if err := chromedp.Listen(ctx, func(ev any) {
		if sent, ok := ev.(*network.EventRequestWillBeSent); ok {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.asked = append(s.asked, sent.Request.URL)
		}
	}); err != nil {
		s.t.Fatal(err)
	}
	call(s, network.Enable, network.EnableParams{})
}

func call[P, R any](s *site, c cdp.Command[P, R], params P) R {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, browserLimit)
	defer cancel()
	out, err := chromedp.Call(ctx, c, params)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	return out
}

func run[T any](s *site, a chromedp.Action[T]) T {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, browserLimit)
	defer cancel()
	out, err := chromedp.Run(ctx, a)
	if err != nil {
		s.t.Fatalf("%v", err)
	}
	return out
}

func (s *site) open(path string) {
	s.t.Helper()
	run(s, chromedp.Navigate(s.server.URL+path))
}

// eval evaluates an expression that gives a string.
func (s *site) eval(expression string) string {
	s.t.Helper()
	return run(s, chromedp.Evaluate[string]("Promise.resolve("+expression+").then(String)", chromedp.EvalAwaitPromise))
}

// until waits for an expression to hold.
func (s *site) until(what, expression string) {
	s.t.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) { // polled, with a deadline
		ctx, cancel := context.WithTimeout(s.ctx, browserLimit)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Since(began) > browserLimit/2 {
			s.shot("failed-" + strings.ReplaceAll(what, " ", "-"))
			s.t.Fatalf("%s: not so (%v); the page says:\n%s", what, err, s.eval("document.body.innerText"))
		}
	}
}

// size makes the window a desk's or a phone's, light or dark.
func (s *site) size(width int64, dark bool) {
	s.t.Helper()
	height, scheme := int64(900), "light"
	if width < 500 {
		height = 780
	}
	if dark {
		scheme = "dark"
	}
	call(s, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500})
	call(s, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

func (s *site) shot(name string) {
	s.t.Helper()
	dir := os.Getenv("CREEL_E2E_ARTIFACTS")
	if dir == "" {
		dir = "artifacts"
	}
	dir = filepath.Join(dir, "ui")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), run(s, chromedp.FullScreenshot(100)), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// axe gives the script that checks a page.
var axe = sync.OnceValues(func() (string, error) {
	data := os.Getenv("CREEL_E2E_DATA")
	if data == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		data = filepath.Join(cache, "creel-e2e")
	}
	script, err := os.ReadFile(filepath.Join(data, "axe-core-4.14.1.js"))
	if err != nil {
		return "", fmt.Errorf("there is no axe-core: %w; run test/e2e/setup, which installs it", err)
	}
	if sum := sha256.Sum256(script); hex.EncodeToString(sum[:]) != axeSum {
		return "", fmt.Errorf("the axe-core there is not the one that was tried: run test/e2e/setup")
	}
	return string(script), nil
})

// violation is what axe finds.
type violation struct {
	ID     string `json:"id"`
	Impact string `json:"impact"`
	Help   string `json:"help"`
	Nodes  []struct {
		HTML    string `json:"html"`
		Summary string `json:"failureSummary"`
	} `json:"nodes"`
}

// check runs axe on the page that is open.
func (s *site) check(what string) {
	s.t.Helper()
	script, err := axe()
	if err != nil {
		s.t.Fatal(err)
	}
	run(s, chromedp.Evaluate[string](script+";'loaded'"))
	out := s.eval(`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify(r.violations))`)
	var list []violation
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, v := range list {
		node := v.Nodes[0]
		s.t.Errorf("%s: axe finds %s (%s): %s: %d times, such as %s\n%s", what, v.ID, v.Impact, v.Help, len(v.Nodes), node.HTML, node.Summary)
	}
}

// TestLooks takes a picture of every page, large and small, light and dark, and
// has axe look at each. Nothing is wider than a phone.
func TestLooks(t *testing.T) {
	s := newSite(t)
	first, last := string(s.w.cellar.list[0].ID), string(s.w.cellar.list[len(s.w.cellar.list)-1].ID)
	shown := []struct{ name, path string }{
		{"overview", ""}, {"timeline", "timeline"}, {"devices", "devices"}, {"snapshots", "snapshots"}, {"snapshot", "snapshots/" + last}, {"files", "snapshots/" + last + "/files"},
		{"diff", "snapshots/diff?from=" + first + "&to=" + last}, {"restore", "snapshots/" + first + "/restore"}, {"logs", "logs"}, {"settings", "settings?doctor=1"}, {"stop", "gateway/stop"}, {"problem", "snapshots/none"},
	}
	for _, width := range []int64{1280, 360} {
		for _, dark := range []bool{false, true} {
			s.size(width, dark)
			for _, p := range shown {
				s.open(Prefix + p.path)
				name := fmt.Sprintf("%s-%d-%s", p.name, width, map[bool]string{false: "light", true: "dark"}[dark])
				s.until("it is painted", `document.readyState === "complete"`)
				if p.name == "overview" || p.name == "devices" {
					s.until("the stream is there", `document.querySelector("#streaming.on")`)
				}
				if over := s.eval(`document.documentElement.scrollWidth - innerWidth`); over != "0" && !strings.HasPrefix(over, "-") {
					t.Errorf("%s is %s px wider than the window", name, over)
				}
				s.shot(name)
				s.check(name)
			}
		}
	}
}

// TestStandIns: the pages in the gateway's place.
func TestStandIns(t *testing.T) {
	s := newSite(t)
	ready := s.w.sup.Status()
	starting := ready
	starting.State, starting.Reason, starting.Since, starting.PID = gateway.Starting, "running, but not ready yet", time.Now().Add(-4*time.Second), 4712
	failed := starting
	failed.State, failed.Reason, failed.PID = gateway.Failed, "given up after 5 fruitless starts (generation 7: it exited with code 1)", 0
	for _, width := range []int64{1280, 360} {
		dark := width == 360
		s.size(width, dark)
		for _, tt := range []struct {
			name string
			st   gateway.Status
			who  auth.Principal
		}{{"loading", starting, anna}, {"failed-owner", failed, anna}, {"failed-stranger", failed, auth.Principal{}}} {
			s.w.sup.set(tt.st)
			s.setWho(tt.who)
			s.open("/")
			s.shot(fmt.Sprintf("%s-%d", tt.name, width))
			s.check(tt.name)
			if text := s.eval("document.body.innerText"); tt.name == "failed-stranger" && (strings.Contains(text, "heap") || strings.Contains(text, "exited")) {
				t.Errorf("a stranger is told why: %s", text)
			}
		}
	}
	s.setWho(anna)
	s.w.sup.set(starting)
	s.open("/")
	s.until("the loading page is there", `document.getElementById("steps")`)
	s.w.sup.set(ready)
	s.until("the app itself is there", `document.title === "the app"`)
}

// TestLive: what happens shows by itself, and a click needs no page load.
func TestLive(t *testing.T) {
	s := newSite(t)
	s.size(1280, false)
	s.open(Prefix)
	s.until("the stream is there", `document.querySelector("#streaming.on")`)
	run(s, chromedp.Evaluate[string](`window.unloaded = "no"`))
	ready := s.w.sup.Status()
	crashed := ready
	crashed.State, crashed.Reason, crashed.PID = gateway.Backoff, "waiting before the next start (generation 7: it was killed by SIGKILL)", 0
	s.w.sup.set(crashed)
	began := time.Now()
	s.until("the crash shows", `document.querySelector(".hero h2").textContent === "Waiting to start again"`)
	t.Logf("a crash shows after %v", time.Since(began).Round(time.Millisecond))
	s.until("it is read out", `document.getElementById("announcer").textContent.includes("Waiting to start again")`)
	s.w.sup.set(ready)
	s.until("it shows that it runs again", `document.querySelector(".hero h2").textContent === "Running"`)

	s.open(Prefix + "devices")
	s.until("the stream is there", `document.querySelector("#streaming.on")`)
	run(s, chromedp.Evaluate[string](`window.unloaded = "no"`))
	s.w.desk.add(openclaw.Device{ID: strings.Repeat("e5", 32), State: openclaw.DevicePending, Name: "Edge on <i>Windows</i>", Since: time.Now()})
	s.until("the device shows", `document.querySelector(".asks h3").textContent === "Edge on <i>Windows</i>"`)
	s.until("it is read out", `document.getElementById("announcer").textContent.includes("Edge on <i>Windows</i> asks to pair")`)
	run(s, chromedp.Evaluate[string](`document.querySelector(".asks button").click() ?? ""`))
	s.until("it is let in", `document.querySelector(".flash.ok") && [...document.querySelectorAll('[data-region=known] h3')].some((h) => h.textContent.startsWith("Edge"))`)
	if s.eval("window.unloaded") != "no" {
		t.Error("the page was loaded anew")
	}
	if at := s.eval("location.href"); strings.Contains(at, "flash") {
		t.Errorf("the address keeps the message's key: %s", at)
	}

	run(s, chromedp.Evaluate[string](`document.querySelector('[data-region=known] a[data-ask]').click() ?? ""`))
	s.until("it asks first", `document.querySelector("dialog[open] .confirm")`)
	s.shot("dialog")
	s.check("dialog")
	run(s, chromedp.Evaluate[string](`document.querySelector("dialog .cancel").click() ?? ""`))
	s.until("nothing was done", `!document.querySelector("dialog")`)

	s.setWho(auth.Principal{Name: "reader", Kind: auth.KindToken, Scopes: auth.ReaderScopes})
	run(s, chromedp.Evaluate[string](`document.querySelector(".asks button").click() ?? ""`))
	s.until("it says why nothing was done", `document.querySelector(".flash.bad")?.textContent === "Not allowed: this needs operate"`)
	s.setWho(anna)

	s.open(Prefix + "timeline")
	s.until("the stream is there", `document.querySelector("#streaming.on")`)
	s.w.journal.add(event.Event{Kind: event.Exited, Generation: 7, Cause: "signal", Message: "it ended: killed by SIGKILL", Fields: map[string]any{"log": []string{"last words"}}})
	s.until("the crash is in the timeline", `document.querySelector(".rail li p").textContent === "It ended: killed by SIGKILL" && document.querySelector(".rail pre").textContent.includes("last words")`)

	s.open(Prefix + "logs")
	s.until("the lines are there", `document.querySelectorAll("#log li").length > 200`)
	s.w.tail.more <- "error: something <b>new</b>"
	s.until("a new line shows", `document.querySelector("#log li:last-child").textContent === "error: something <b>new</b>"`)
	run(s, chromedp.Evaluate[string](`document.querySelector("#q").value = "something"; document.querySelector("#q").dispatchEvent(new Event("input")) + ""`))
	s.until("only what was searched for shows", `[...document.querySelectorAll("#log li")].filter((l) => !l.hidden).length === 1`)
	run(s, chromedp.Evaluate[string](`document.querySelector("#pause").click() ?? ""`))
	s.w.tail.more <- "info: not shown yet"
	s.until("it is held back", `document.querySelector("#pause").textContent.includes("1 new")`)
}

// TestRestore: asked for, spelled out, with its progress, to the end.
func TestRestore(t *testing.T) {
	s := newSite(t)
	s.size(360, false)
	s.w.cellar.hold = make(chan struct{})
	s.open(Prefix + "snapshots/" + string(s.w.cellar.list[1].ID) + "/restore")
	run(s, chromedp.Evaluate[string](`document.querySelector(".confirm button").click() ?? ""`))
	s.until("the progress shows", `location.pathname.startsWith("/_creel/jobs/") && document.querySelector("progress")`)
	s.w.cellar.mu.Lock()
	s.w.cellar.st.Doing = []snapshot.Doing{{What: "restore", Stage: "checking", Since: time.Now(), Files: 700, Bytes: 21 << 20, OfFiles: 1602, OfBytes: 57 << 20}}
	s.w.cellar.mu.Unlock()
	s.until("how far it is", `document.querySelector("progress").value > 0`)
	s.shot("job-360-light")
	s.check("job")
	s.w.cellar.mu.Lock()
	s.w.cellar.st.Doing = nil
	s.w.cellar.mu.Unlock()
	close(s.w.cellar.hold)
	s.until("it is done", `document.querySelector(".state.ok h1")?.textContent === "Done"`)
}

// TestKeyboard walks with the keyboard alone: the first stop leads to the
// content, every stop can be seen, and a button works by a key.
func TestKeyboard(t *testing.T) {
	s := newSite(t)
	s.size(1280, false)
	s.open(Prefix + "devices")
	s.until("the stream is there", `document.querySelector("#streaming.on")`)
	press := func(key string) { t.Helper(); run(s, chromedp.KeyEvent(key)) }
	press(kb.Tab)
	if text := s.eval("document.activeElement.textContent"); text != "Skip to the content" {
		t.Fatalf("the first stop is %q", text)
	}
	s.eval(`window.kept = "yes"`)
	press(kb.Enter)
	s.until("the content has the focus", `document.activeElement.id === "main" && location.hash === "#main"`)
	stops := 0
	for range 40 {
		press(kb.Tab)
		if s.eval(`document.activeElement === document.body`) == "true" {
			break
		}
		stops++
		if seen := s.eval(`(() => { const e = document.activeElement, b = e.getBoundingClientRect(), c = getComputedStyle(e); return e.matches(":focus-visible") && c.outlineStyle !== "none" && parseFloat(c.outlineWidth) >= 2 && b.width > 0 && b.height > 0 })()`); seen != "true" {
			t.Errorf("a stop cannot be seen: %s", s.eval("document.activeElement.outerHTML"))
		}
		if strings.HasPrefix(s.eval("document.activeElement.textContent"), "Approve:") {
			break
		}
	}
	if stops == 0 || !strings.HasPrefix(s.eval("document.activeElement.textContent"), "Approve:") {
		t.Fatalf("after %d stops the button to let a device in has not come", stops)
	}
	press(kb.Enter)
	s.until("it is let in", `document.querySelector(".flash.ok")`)
	if got := s.eval("document.activeElement.className"); !strings.Contains(got, "flash") {
		t.Errorf("the focus is not with the message: %q", got)
	}
	if s.eval(`window.kept ?? ""`) != "yes" {
		t.Error("the page was loaded anew on the way")
	}
}

// TestNoScript walks without script: all pages say what they say, and forms work.
func TestNoScript(t *testing.T) {
	s := newSite(t)
	s.size(360, true)
	call(s, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	for _, path := range s.w.paths() {
		s.open(path)
		if text := s.eval(`document.querySelector("main").innerText`); len(text) < 40 {
			t.Errorf("%s says %q", path, text)
		}
	}
	s.open(Prefix + "devices")
	s.shot("devices-no-script")
	run(s, chromedp.Submit(".asks form"))
	s.until("the device is let in", `document.querySelector(".flash.ok")`)
	s.open(Prefix + "settings")
	s.eval(`document.querySelectorAll("input[type=password]").forEach((i) => { i.value = "correct horse" }) ?? ""`)
	run(s, chromedp.Submit("#password"))
	s.until("the password is changed", `document.querySelector(".flash.ok")?.textContent.includes("password was changed")`)
	s.open(Prefix + "gateway/restart")
	run(s, chromedp.Submit(".confirm form"))
	s.until("it is being restarted", `document.querySelector(".flash.ok")`)
	if got := s.w.sup.was(); len(got) != 1 || got[0] != "restart" {
		t.Errorf("asked for: %v", got)
	}
}

// TestWeight: the first view is light, fast, and asks no other host.
func TestWeight(t *testing.T) {
	s := newSite(t)
	s.size(1280, false)
	s.open(Prefix)
	s.until("the stream is there", `document.querySelector("#streaming.on")`)
	var figures struct{ Page, Rest, Paint, Answer, Requests float64 }
	call(s, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	var paints, answers []float64
	for range 5 {
		s.open("/none/at/all") // another page in between
		s.open(Prefix)
		s.until("the stream is there", `document.querySelector("#streaming.on")`)
		s.until("it is painted", `performance.getEntriesByName("first-contentful-paint").length`)
		out := s.eval(`JSON.stringify((() => { const nav = performance.getEntriesByType("navigation")[0], rest = performance.getEntriesByType("resource"); return { page: nav.transferSize, answer: nav.responseEnd, rest: rest.reduce((n, r) => n + r.transferSize, 0), paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, requests: 1 + rest.length } })())`)
		if err := json.Unmarshal([]byte(out), &figures); err != nil {
			t.Fatal(err)
		}
		paints, answers = append(paints, figures.Paint), append(answers, figures.Answer)
	}
	slices.Sort(paints)
	slices.Sort(answers)
	t.Logf("the first view: %.1f KiB in %.0f requests (the page %.1f KiB); of %d loads without a cache: first contentful paint after %.0f ms (median; %.0f to %.0f), the answer after %.0f ms",
		(figures.Page+figures.Rest)/1024, figures.Requests, figures.Page/1024, len(paints), paints[2], paints[0], paints[4], answers[2])
	if figures.Page+figures.Rest > 150<<10 {
		t.Error("it weighs more than 150 KiB")
	}
	if blocking := s.eval(`performance.getEntriesByType("resource").filter((r) => r.renderBlockingStatus === "blocking").length`); blocking != "0" {
		t.Errorf("%s requests block the first render", blocking)
	}
	for _, path := range s.w.paths() {
		s.open(path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	here, err := url.Parse(s.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range s.asked {
		if u, err := url.Parse(address); err != nil || u.Host != here.Host || !net.ParseIP(u.Hostname()).IsLoopback() {
			t.Errorf("the browser asked for %s", address)
		}
	}
	if len(s.asked) < len(s.w.paths()) {
		t.Errorf("only %d requests were seen", len(s.asked))
	}
}
