//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// The widths at which the pages are looked at: a desk's, and the smallest phone's.
const (
	deskWidth    = 1280
	phoneWidth   = 360
	windowHeight = 760
)

// maxWeight is what the first view may weigh.
const maxWeight = 150 << 10

// command sends a command to the browser for a page.
func command[P, R any](t *testing.T, p *page, c cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := within(p, momentLimit, chromedp.Action[R](func(ctx context.Context, target *chromedp.Target) (R, error) {
		return cdp.Call(ctx, target, c, params)
	})); err != nil {
		t.Fatal(err)
	}
}

// size shows a page as on a desk or a phone, light or dark.
func (p *page) size(t *testing.T, width, height int64, dark bool) {
	t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	command(t, p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width == phoneWidth})
	command(t, p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// looks keeps pictures of all pages, with what has happened in them, as on a phone
// and in the dark. Nothing is wider than a phone, and axe finds nothing.
func (s *stage) looks(t *testing.T, p *page) {
	t.Helper()
	axe := axeScript(t)
	for _, title := range []string{"Overview", "Timeline", "Devices", "Snapshots", "Logs", "Settings"} {
		p.press(t, title)
		p.until(t, title+" is there", `document.readyState === "complete" && document.querySelector("h1")?.textContent === `+quote(title)+
			` && (!document.body.dataset.stream || `+live+`)`)
		for _, look := range []struct {
			name  string
			width int64
			dark  bool
		}{{"phone", phoneWidth, false}, {"phone-dark", phoneWidth, true}, {"dark", deskWidth, true}} {
			p.size(t, look.width, windowHeight, look.dark)
			name := title + "-" + look.name
			p.until(t, name+" is no wider than the window", `innerWidth === `+fmt.Sprint(look.width)+` && document.documentElement.scrollWidth <= innerWidth`)
			p.accessible(t, axe, name)
			// All of it in one picture, with what is at the bottom of the window at its bottom.
			whole, err := within(p, momentLimit, chromedp.Evaluate[int64](`document.documentElement.scrollHeight`))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			p.size(t, look.width, max(whole, windowHeight), look.dark)
			p.screenshot(t, filepath.Join("looks", name+".png"))
		}
	}
	p.size(t, deskWidth, windowHeight, false)
}

// axeScript gives axe-core, which test/e2e/setup has put there; that it is the one
// that was tried is for the tests of internal/ui to say.
func axeScript(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(versions)), "axe-core-*.js"))
	if err != nil || len(found) != 1 {
		t.Fatalf("axe-core: %v, %v; run test/e2e/setup, which installs it", found, err)
	}
	script, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// accessible has axe look at a page.
func (p *page) accessible(t *testing.T, axe, name string) {
	t.Helper()
	out, err := within(p, bootLimit, chromedp.Evaluate[string](`(async () => {
		if (!window.axe) { `+axe+` }
		const { violations } = await axe.run(document, { resultTypes: ["violations"] });
		return JSON.stringify(violations.map(({ id, impact, help, nodes }) => [id, impact, help, nodes.length, nodes[0].html, nodes[0].failureSummary].join("; ")));
	})()`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("axe cannot look at %s: %v", name, err)
	}
	var found []string
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	for _, violation := range found {
		t.Errorf("%s: axe finds %s", name, violation)
	}
}

// firstView loads a page anew a few times, with nothing kept, and says what it weighs
// and when it is first painted.
func (p *page) firstView(t *testing.T) {
	t.Helper()
	const painted = `performance.getEntriesByName("first-contentful-paint").length > 0`
	command(t, p, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	var view struct{ Page, Rest, Paint, Requests float64 }
	var paints []float64
	for range 5 {
		p.reload(t)
		p.until(t, "it is painted, and live", live+" && "+painted)
		if err := json.Unmarshal([]byte(p.eval(t, `JSON.stringify((() => {
			const page = performance.getEntriesByType("navigation")[0].transferSize, rest = performance.getEntriesByType("resource");
			return { page, rest: rest.reduce((sum, r) => sum + r.transferSize, 0), requests: 1 + rest.length,
				paint: performance.getEntriesByName("first-contentful-paint")[0].startTime };
		})())`)), &view); err != nil {
			t.Fatal(err)
		}
		paints = append(paints, view.Paint)
		if view.Page == 0 || view.Page+view.Rest > maxWeight {
			t.Errorf("the first view weighs %.1f KiB, and %.1f KiB are right", (view.Page+view.Rest)/1024, maxWeight/1024.)
		}
	}
	slices.Sort(paints)
	t.Logf("evidence: the Overview weighs %.1f KiB in %.0f requests (the page %.1f KiB); of %d loads the first render is after %.0f ms (median; %.0f to %.0f)",
		(view.Page+view.Rest)/1024, view.Requests, view.Page/1024, len(paints), paints[len(paints)/2], paints[0], paints[len(paints)-1])
	command(t, p, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: false})
}
