package crash

import (
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"creel/internal/api"
	"creel/test/crashgw"
)

type statusT = api.Status

const executedKind = crashgw.KindExecuted

func crashgwOptions() crashgw.Options { return crashgw.Options{BootDelay: 80 * time.Millisecond} }

func ready(st api.Status) bool { return st.OK }

// pause lets time pass in which something random is to happen; nothing waits
// for it.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

func (c *creel) readLedger() crashgw.Ledger {
	c.t.Helper()
	l, err := crashgw.ReadLedger(c.ledger)
	if err != nil {
		c.t.Fatal(err)
	}
	return l
}

// metric reads one metric without labels.
func (c *creel) metric(name string) float64 {
	c.t.Helper()
	for line := range strings.Lines(c.get("/_creel/metrics")) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				c.t.Fatal(err)
			}
			return v
		}
	}
	c.t.Fatalf("there is no metric %s", name)
	return 0
}

func (c *creel) get(path string) string {
	c.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(c.url(path))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// events is the journal, as JSON lines.
func (c *creel) events() string {
	c.t.Helper()
	resp, err := api.Client(c.dataDir()).Get(api.ControlURL("events?tail=1000"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

func asExit(err error, target **exec.ExitError) bool { return errors.As(err, target) }
