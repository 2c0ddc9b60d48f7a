//go:build e2e

package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestControlUI clicks the link: a browser that opens it is signed in to creel, and
// logged in to OpenClaw. The link does not work again. When the
// gateway is killed under the open page, the page comes back by itself; one that
// is opened meanwhile shows that the gateway starts, and then the Control UI.
func TestControlUI(t *testing.T) {
	f := newFolder(t)
	c := f.up(t)
	link := c.link(t)
	b := f.browse(t)
	first := b.open(t, link+"&next=/_creel/open")
	first.until(t, "the Control UI is connected", connected)
	first.screenshot(t, "1-connected.png")
	if at := first.eval(t, "location.href"); strings.Contains(at, tokenOf(t, f, link)) {
		t.Errorf("the token stays in the address bar: %s", at)
	}

	b.open(t, link).until(t, "the link is refused when it is used again", `document.body.innerText.includes("was used already")`)

	before := f.status(t)
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	first.until(t, "the Control UI says that it has lost the gateway", disconnected)
	first.screenshot(t, "2-reconnecting.png")
	second := b.open(t, f.url("/")) // it is signed in
	second.until(t, "a page that is opened meanwhile says so", starting)
	second.screenshot(t, "3-starting.png")
	if a := f.get(t.Context(), "/_creel/readyz"); a.status != http.StatusServiceUnavailable {
		t.Errorf("while the browser is told to wait: %v", a)
	}
	first.until(t, "the Control UI is connected again", connected)
	first.screenshot(t, "4-reconnected.png")
	second.until(t, "the page that was opened meanwhile is connected", connected)
	second.screenshot(t, "5-opened-meanwhile.png")

	if s := f.status(t); s.Generation != before.Generation+1 || s.Restarts != before.Restarts+1 || s.State != "ready" {
		t.Errorf("after the crash: %v, before: %v", s, before)
	}
	b.close(t)
	f.end(t, c)
}

// The Control UI has no word for "connected". What it shows to a new user tells:
// the choice of local model servers is the answer to a call through its
// WebSocket, and it is taken away while there is no connection. Only what can be
// seen counts (innerText leaves out what is hidden).
const (
	connected    = `document.body.innerText.includes("Ollama") && !/reconnecting/i.test(document.body.innerText)`
	disconnected = `/reconnecting/i.test(document.body.innerText)`
	starting     = `/the gateway is (starting|being restarted|about to start)/i.test(document.body.innerText)`
)
