//go:build e2e

package auth

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"creel/internal/config"
)

// These tests drive the real Chromium, which is $PATH's chromium. Screenshots go to
// $CREEL_E2E_ARTIFACTS, if that is set.
//
//	go test -tags e2e -run E2E ./internal/auth

// tab is a tab of a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

func browse(t *testing.T) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(420, 800), chromedp.NoSandbox, chromedp.DisableGPU)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Errorf("cannot close Chromium: %v", err)
		}
		stop()
		stopAllocator()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("cannot start Chromium: %v", err)
	}
	return &tab{t, ctx}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shoot("failed.png")
		b.t.Fatal(err)
	}
}

// until waits for a condition in JavaScript.
func (b *tab) until(what, condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition, awaited)); err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + document.body.innerText"))
			b.shoot("failed.png")
			b.t.Fatalf("waited in vain: %s; the page is %s", what, text)
		}
	}
}

// awaited has an expression that is a promise stand for its value.
func awaited(p *runtime.EvaluateParams) {
	yes := true
	p.AwaitPromise = &yes
}

// scripts says whether the page may run any.
func (b *tab) scripts(may bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !may}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) shoot(name string) {
	dir := os.Getenv("CREEL_E2E_ARTIFACTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, b.t.Name()), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, b.t.Name(), name), png, 0o644)
	}
	if err != nil {
		b.t.Errorf("no screenshot: %v", err)
	}
}

// TestE2ESigningIn: in a real browser, under the pages' own policy, a link signs in
// with and without scripts, a passkey is registered and signs in, and signing out
// ends it.
func TestE2ESigningIn(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.Config.Passkeys = config.AuthPasskeys{Host: "localhost"}
		o.Home = "/home"
	})
	site := strings.Replace(w.server.URL, "127.0.0.1", "localhost", 1)
	b := browse(t)
	gateway := `document.body.innerText === "the gateway"`

	b.do(chromedp.Navigate(site + "/chat?x=1"))
	b.until("a stranger is asked to sign in", `location.pathname === "/_creel/login" && document.body.innerText.includes("creel login")`)
	b.shoot("1-stranger.png")
	path, _, err := w.gate.LoginLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(site + path + "&next=/chat%3Fx=1"))
	b.until("the link leads to where the person wanted to go", gateway+` && location.pathname + location.search === "/chat?x=1"`)

	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	_, err = chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(site+passkeyPath), chromedp.Click(chromedp.CSS("#passkey")))
	b.until("the passkey is registered", `document.querySelector("li") && document.querySelector("li").innerText.includes("this device")`)
	b.shoot("2-passkeys.png")
	b.until("signed out", `fetch("/_creel/logout", {method: "POST"}).then(() => fetch("/x")).then(r => r.status === 401)`)
	b.do(chromedp.Navigate(site+LoginPath+"?next=/after"), chromedp.Click(chromedp.CSS("#passkey")))
	b.until("the passkey signs in", gateway+` && location.pathname === "/after"`)
	sessions := w.gate.Sessions()
	if len(sessions) != 1 || sessions[0].Method != "passkey" {
		t.Fatalf("sessions: %+v", sessions)
	}
	if err := w.gate.RevokeSession(sessions[0].ID); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(site + "/x"))
	b.until("the session was ended, and the next click is a stranger's", `location.pathname === "/_creel/login"`)

	// Without scripts a button does it.
	path, _, err = w.gate.LoginLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.scripts(false)
	b.do(chromedp.Navigate(site + path))
	b.shoot("3-without-scripts.png")
	b.do(chromedp.Click(chromedp.CSS("button")))
	b.scripts(true)
	b.until("the button signs in", gateway+` && location.pathname === "/home"`)
	if a := w.get("/", http.Header{}); a.status != 401 {
		t.Errorf("a stranger: %v", a)
	}
}
