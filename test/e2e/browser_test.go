//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// browser is a Chromium with a profile of its own.
type browser struct {
	folder  *folder
	profile string          // its own folder
	ctx     context.Context // chromedp's: it ends with this
	stop    context.CancelFunc
}

// browse starts one. It ends with the test at the latest.
func (f *folder) browse(t *testing.T, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	b := &browser{folder: f, profile: t.TempDir()}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.UserDataDir(b.profile), chromedp.WindowSize(1280, 900),
		chromedp.NoSandbox, // root has none
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Env("HOME="+b.profile), // where it keeps what belongs to no profile
	)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	ctx, stop := chromedp.NewContext(allocator)
	b.ctx, b.stop = ctx, func() {
		stop()
		stopAllocator()
	}
	t.Cleanup(func() { b.end(t) })
	if err := chromedp.Do(b.ctx); err != nil {
		t.Fatalf("cannot start Chromium: %v", err)
	}
	return b
}

// close ends the browser in good order.
func (b *browser) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, momentLimit)
	defer cancel()
	if err := chromedp.Cancel(ctx); err != nil {
		t.Errorf("cannot close Chromium: %v", err)
	}
	b.end(t)
}

// end ends it anyhow, and waits until its processes are gone: they write to its
// folder, which is removed next.
func (b *browser) end(t *testing.T) {
	t.Helper()
	b.stop()
	eventually(t, momentLimit, "Chromium has ended", func() (bool, string) {
		for _, process := range allProcesses(t) {
			if strings.Contains(process.command, b.profile) {
				return false, process.String()
			}
		}
		return true, ""
	})
}

// page is a tab.
type page struct {
	folder *folder
	ctx    context.Context
}

// open opens an address in a new tab.
func (b *browser) open(t *testing.T, address string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	t.Cleanup(cancel)
	p := &page{b.folder, ctx}
	if err := chromedp.Do(ctx); err != nil { // the tab lives as long as the context of this
		t.Fatalf("cannot open a tab: %v", err)
	}
	if _, err := within(p, bootLimit, chromedp.Navigate(address)); err != nil {
		t.Fatalf("cannot open the page: %v", err)
	}
	return p
}

// within does something with a page, for so long.
func within[T any](p *page, limit time.Duration, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, limit)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// until waits for a condition, a JavaScript expression. A failure leaves a
// screenshot.
func (p *page) until(t *testing.T, what, condition string) {
	t.Helper()
	began, met := time.Now(), false
	defer func() {
		if !met {
			p.screenshot(t, "failed.png")
		}
	}()
	// Asked from here and not from within the page, which may be replaced.
	eventually(t, bootLimit, what, func() (bool, string) {
		var err error
		if met, err = within(p, momentLimit, chromedp.Evaluate[bool](condition)); met && err == nil {
			return true, ""
		}
		text, textErr := within(p, momentLimit, chromedp.Evaluate[string]("document.body.innerText"))
		return false, fmt.Sprint(err, textErr, "\n", text)
	})
	t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
}

// eval evaluates a JavaScript expression that gives a string.
func (p *page) eval(t *testing.T, expression string) string {
	t.Helper()
	s, err := within(p, momentLimit, chromedp.Evaluate[string](expression))
	if err != nil {
		t.Errorf("%s: %v", expression, err)
	}
	return s
}

func (p *page) screenshot(t *testing.T, name string) {
	t.Helper()
	png, err := within(p, momentLimit, chromedp.CaptureScreenshot())
	if err != nil {
		t.Errorf("cannot take a screenshot: %v", err)
		return
	}
	t.Logf("screenshot: %s", p.folder.artifact(t, name, png))
}
