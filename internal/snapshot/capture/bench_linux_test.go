package capture

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"creel/test/crashgw"
	_ "creel/test/crashgw/state" // for --state
)

// openClawLike makes a state of the shape of a real OpenClaw's: about 1,600
// files with 57 MB, of which 54 MB are a cache that is excluded and 3 MB data.
func openClawLike(tb testing.TB, root string) {
	tb.Helper()
	for i := range 1200 {
		put(tb, fmt.Sprintf("%s/.openclaw/cache/control-ui-assets/%d/%d.js", root, i%8, i), strings.Repeat("c", 45_000))
	}
	for i := range 380 {
		put(tb, fmt.Sprintf("%s/.openclaw/workspace/d%d/f%d.md", root, i%20, i), strings.Repeat("w", 1000+i*30))
	}
	for i := range 20 {
		put(tb, fmt.Sprintf("%s/.openclaw/agents/main/sessions/cold/%d.jsonl.zst", root, i), strings.Repeat("z", 20_000))
	}
}

// BenchmarkFreeze measures how long a gateway is held still by SIGSTOP, and how
// long it takes to have a cut, while four of its databases and files are written
// to all the time.
func BenchmarkFreeze(b *testing.B) {
	var pid int
	c, root := newCapturer(b, func(o *Options) {
		o.Ignore = append(slices.Clone(DefaultIgnore), "/.openclaw/cache/")
		o.Processes = func(context.Context) ([]int, error) { return []int{pid}, nil }
	})
	openClawLike(b, root)
	p := crashgw.Start(b, crashgw.Options{State: root + "/.openclaw/state"})
	pid = p.PID
	start := time.Now()
	first, err := c.Capture(b.Context(), stopped(pid), nil)
	must(b, err)
	b.Logf("first capture: %v, %d files, %d bytes, frozen %v", time.Since(start), first.Totals.Files, first.Totals.Bytes, first.Frozen)
	must(b, first.Release())
	var frozen, copying, whole []time.Duration
	for b.Loop() {
		start := time.Now()
		cut, err := c.Capture(b.Context(), stopped(pid), nil)
		must(b, err)
		whole = append(whole, time.Since(start))
		frozen, copying = append(frozen, cut.Frozen), append(copying, cut.Copying)
		must(b, cut.Release())
	}
	b.Logf("frozen: %s", quantiles(frozen))
	b.Logf("of which looking and copying: %s", quantiles(copying))
	b.Logf("whole captures: %s", quantiles(whole))
	slices.Sort(frozen)
	b.ReportMetric(float64(frozen[len(frozen)*99/100].Microseconds())/1000, "ms-frozen-p99")
}

// BenchmarkSecondCapture measures a capture after one small change, the gateway
// at rest.
func BenchmarkSecondCapture(b *testing.B) {
	c, root := newCapturer(b, func(o *Options) { o.Ignore = append(slices.Clone(DefaultIgnore), "/.openclaw/cache/") })
	openClawLike(b, root)
	must(b, mustCapture(b, c).Release())
	n := 0
	for b.Loop() {
		n++
		must(b, os.WriteFile(root+"/.openclaw/workspace/note.md", fmt.Append(nil, n), 0o644))
		cut, err := c.Capture(b.Context(), atRest, nil)
		must(b, err)
		must(b, cut.Release())
	}
}

// BenchmarkLook measures the part of the freeze that grows with the number of
// files alone: 20,000 files of which none has changed.
func BenchmarkLook(b *testing.B) {
	c, root := newCapturer(b)
	for i := range 20_000 {
		put(b, fmt.Sprintf("%s/%d/%d", root, i%200, i), "x")
	}
	pastTick(b)
	must(b, mustCapture(b, c).Release())
	var copying []time.Duration
	for b.Loop() {
		cut, err := c.Capture(b.Context(), atRest, nil)
		must(b, err)
		copying = append(copying, cut.Copying)
		must(b, cut.Release())
	}
	b.Logf("held still: %s", quantiles(copying))
}
