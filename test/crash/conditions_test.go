package crash

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"creel/internal/api"
	"creel/internal/runtime/process"
	"creel/test/crashgw"
	"creel/test/harness"
)

// TestConditionsOutliveCreel: a gateway that is ready by conditions which only the
// creel that started it has seen hold is ready for the next creel too, and is not
// restarted: its line in the log has been rotated away since, its command needs a
// variable of the gateway's.
func TestConditionsOutliveCreel(t *testing.T) {
	for name, condition := range map[string]struct {
		ready string
		since func(*creel)
	}{
		"log":     {"log: 'listening on', timeout: 20s}", (*creel).rotateLog},
		"command": {"command: [sh, -c, 'test \"$SECRET\" = hunter2 && test -n \"$PORT\"'], timeout: 20s}\n  env: {SECRET: hunter2}", func(*creel) {}},
	} {
		t.Run(name, func(t *testing.T) {
			c := prepare(t, crashgw.Options{})
			c.configure("path: /readyz, timeout: 20s}", condition.ready)
			c.Launch()
			before := c.WaitFor("ready", ready)
			condition.since(c)
			c.Kill()
			c.Launch()
			after := c.WaitFor("the next creel to have the gateway", func(st api.Status) bool { return st.OK && st.Creel.PID != before.Creel.PID })
			if after.PID != before.PID || after.Generation != before.Generation {
				t.Errorf("generation %d, pid %d, was replaced by generation %d, pid %d: %+v", before.Generation, before.PID, after.Generation, after.PID, after.LastEnd)
			}
		})
	}
}

// rotateLog has the gateway's output outgrow its limit, and waits until it was
// rotated.
func (c *creel) rotateLog() {
	c.T.Helper()
	path := process.LogPath(c.gatewayDir())
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		c.T.Fatal(err)
	}
	defer f.Close()
	line := append(bytes.Repeat([]byte("x"), 1<<16-1), '\n')
	for n := int64(0); n < process.DefaultLogMaxBytes; n += int64(len(line)) {
		if _, err := f.Write(line); err != nil {
			c.T.Fatal(err)
		}
	}
	harness.Poll(c.T, "the log to be rotated", func() bool {
		info, err := f.Stat()
		return err == nil && info.Size() < process.DefaultLogMaxBytes
	}, func() string { return fmt.Sprint(f.Stat()) })
}
