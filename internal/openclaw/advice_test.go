package openclaw

import (
	"strings"
	"testing"
)

// TestAdvise: the words of OpenClaw 2026.9.6 (docs/openclaw.md), and where they lead.
func TestAdvise(t *testing.T) {
	const (
		pages   = "https://bot.example/_creel"
		pairing = "pairing required: device is not approved yet (requestId: a44f4127-06f9-4443-b89d-5e283bb9a3f5)"
	)
	for _, tt := range []struct {
		message string
		room    int
		want    string // in the result; "": the message alone
	}{
		{pairing, 4096, ". Approve this device at https://bot.example/_creel/devices"},
		{pairing, 123, " -> /_creel/devices"}, // the reason of a close frame
		{pairing, 100, ""},
		{"unauthorized: gateway token mismatch (open the dashboard URL)", 4096, "https://bot.example/_creel/,"},
		{"unauthorized: gateway token missing", 123, "_creel/"},
		{"gateway is draining", 4096, ""},
	} {
		got := Advise(tt.message, pages, tt.room)
		if tt.want == "" && got != tt.message || !strings.HasPrefix(got, tt.message) || !strings.Contains(got, tt.want) || len(got) > max(tt.room, len(tt.message)) {
			t.Errorf("%q in %d bytes is %q", tt.message, tt.room, got)
		}
	}
}

func TestPairingRequest(t *testing.T) {
	for reason, want := range map[string]string{
		"pairing required: device is not approved yet (requestId: a44f4127-06f9-4443-b89d-5e283bb9a3f5)": "a44f4127-06f9-4443-b89d-5e283bb9a3f5",
		"pairing required: device is not approved yet":                                                   "",
		"device removed (requestId: a44f4127)":                                                           "",
		"pairing required (requestId: ../x)":                                                             "",
	} {
		if got := PairingRequest(reason); got != want {
			t.Errorf("%q: %q", reason, got)
		}
	}
}
