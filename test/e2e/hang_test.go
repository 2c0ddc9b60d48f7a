//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// loop is loaded into OpenClaw's process. It keeps the event loop from running: at full
// load for as many milliseconds as the file "busy" says, or for ever and doing nothing
// if there is a file "stuck".
const loop = `const fs = require("fs"), dir = process.env.LOOP_DIR;
function take(name) {
  try { const text = fs.readFileSync(dir + "/" + name, "utf8"); fs.unlinkSync(dir + "/" + name); return text } catch { return "" }
}
if (process.argv.includes("gateway")) setInterval(() => {
  const until = Date.now() + Number(take("busy"));
  while (Date.now() < until);
  if (take("stuck")) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}, 50).unref();
`

// TestHang: OpenClaw at full load, answering nothing for twice as long as an idle one
// has, is left alone, and the request that came meanwhile is answered. One whose
// event loop stands still is replaced. The thresholds are a fifteenth of the usual ones.
func TestHang(t *testing.T) {
	const busy = 9 * time.Second
	f := newFolder(t)
	dir := filepath.Join(f.root, "loop")
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(f.root, "new"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(f.root, "new"), filepath.Join(dir, name)); err != nil { // whole from the first
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put("loop.js", loop)
	f.settings(t, fmt.Sprintf(`gateway:
  env: {NODE_OPTIONS: "--require=%s/loop.js", LOOP_DIR: %q}
  hang: {interval: 300ms, suspect_after: 2s, restart_after: 4s, busy_restart_after: 2m}
`, dir, dir))
	c := f.up(t)
	c.link(t)
	before, known := f.status(t), lastSeq(f.events(t))
	taken := func(name string) {
		t.Helper()
		eventually(t, momentLimit, "OpenClaw takes "+name, func() (bool, string) {
			_, err := os.Stat(filepath.Join(dir, name))
			return os.IsNotExist(err), ""
		})
	}
	put("busy", fmt.Sprint(busy.Milliseconds()))
	taken("busy")
	began := time.Now()
	if a := f.get(t.Context(), "/healthz"); a.status != http.StatusOK || time.Since(began) < busy/4 {
		t.Errorf("at full load: %v after %v", a, time.Since(began))
	}
	list := f.events(t)
	if s := f.status(t); s.PID != before.PID || !s.OK || count(list, "suspect", known)+count(list, "evidence", known) > 0 {
		t.Errorf("after it: %v, %v", s, list)
	}

	put("stuck", "yes")
	taken("stuck")
	s := f.until(t, bootLimit, "the next instance is ready", func(s status) bool { return s.OK && s.Generation > before.Generation })
	list = f.events(t)
	if s.LastEnd == nil || s.LastEnd.Cause != "hang" || s.Generation != before.Generation+1 || count(list, "evidence", known) != 1 {
		t.Errorf("after it stood still: %v, %+v, %v", s, s.LastEnd, list)
	}
	f.end(t, c)
}
