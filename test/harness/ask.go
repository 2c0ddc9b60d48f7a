package harness

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"creel/internal/api"
)

// Get gets a path behind creel and returns the body, whatever the status.
func (c *Creel) Get(path string) string {
	c.T.Helper()
	client := &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(c.URL(path))
	if err != nil {
		c.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.T.Fatal(err)
	}
	return string(b)
}

// Metric reads one metric without labels.
func (c *Creel) Metric(name string) float64 {
	c.T.Helper()
	for line := range strings.Lines(c.Get("/_creel/metrics")) {
		if rest, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
			if err != nil {
				c.T.Fatal(err)
			}
			return v
		}
	}
	c.T.Fatalf("there is no metric %s", name)
	return 0
}

// Events is the end of the journal, as JSON lines.
func (c *Creel) Events() string {
	c.T.Helper()
	req, err := http.NewRequest(http.MethodGet, api.ControlURL("events?tail=1000"), nil)
	if err != nil {
		c.T.Fatal(err)
	}
	req.Header.Set("Accept", "application/x-ndjson")
	resp, err := api.Client(c.DataDir()).Do(req)
	if err != nil {
		c.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.T.Fatal(err)
	}
	return string(b)
}

// Post asks the control socket for something, which must be granted.
func (c *Creel) Post(what string) {
	c.T.Helper()
	resp, err := api.Client(c.DataDir()).Post(api.ControlURL(what), "", nil)
	if err != nil {
		c.T.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		c.T.Fatalf("%s: %s %s %v", what, resp.Status, b, err)
	}
}
