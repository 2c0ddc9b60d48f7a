package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"creel/internal/openclaw"
)

func TestPrintDevices(t *testing.T) {
	var out, errs bytes.Buffer
	e := &env{stdout: &out, stderr: &errs}
	if err := e.printDevices(nil); err != nil || out.Len() != 0 || !strings.Contains(errs.String(), "no device") {
		t.Errorf("none: %v, %q, %q", err, &out, &errs)
	}
	id := strings.Repeat("0123456789abcdef", 4)
	if err := e.printDevices([]openclaw.Device{
		{ID: id, State: openclaw.DevicePending, Name: "evil\x1b[2J\nname", Platform: "linux", Address: "203.0.113.9", Since: time.Now().Add(-time.Hour), Scopes: []string{"operator.read", "operator.write"}},
		{ID: "short", State: openclaw.DevicePaired, Name: "x", Label: "Anna", Connected: true},
		{ID: id, State: openclaw.DeviceRevoked, LastSeen: time.Now().Add(-time.Minute)},
	}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 4 || strings.ContainsRune(out.String(), '\x1b') {
		t.Fatalf("%q", &out)
	}
	for i, want := range [][]string{
		{"STATE", "ID", "NAME", "PLATFORM", "ADDRESS", "AGE", "SCOPES"},
		{"pending", "0123456789ab ", "evil?[2J?name", "linux", "203.0.113.9", "1 h 0 min", "read,write"},
		{"paired", "short", "Anna", "now"},
		{"revoked", "unnamed", "1 min 0 s ago"},
	} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d does not say %q: %s", i, part, lines[i])
			}
		}
	}
}
