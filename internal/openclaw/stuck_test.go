package openclaw

import "testing"

func TestStuck(t *testing.T) {
	for body, want := range map[string]string{
		`{"ready":false,"failing":["startup-sidecars"],"uptimeMs":1884,"eventLoop":{"degraded":true,"reasons":["cpu"]}}`: "that its event loop is degraded (cpu)",
		`{"ready":true,"eventLoop":{"degraded":true}}`:                                                                   "that its event loop is degraded",
		`{"ready":true,"failing":[],"uptimeMs":5266,"eventLoop":{}}`:                                                     "",
		`{"ready":true,"eventLoop":{"degraded":false,"reasons":["cpu"]}}`:                                                "",
		`{"ready":true}`: "",
		`live`:           "",
		``:               "",
	} {
		if got := Stuck([]byte(body)); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
