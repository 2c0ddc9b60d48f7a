package openclaw

import (
	"os"
	"strings"
	"testing"
)

func TestEffectiveVersion(t *testing.T) {
	const ours = DefaultVersion
	for name, test := range map[string]struct {
		record     VersionRecord
		configured string
		want       string
	}{
		"nothing is known":               {VersionRecord{}, "", ours},
		"configured":                     {VersionRecord{}, "2026.1.1", "2026.1.1"},
		"chosen":                         {VersionRecord{Version: "2026.2.2", Instead: "2026.1.1"}, "2026.1.1", "2026.2.2"},
		"configured since":               {VersionRecord{Version: "2026.2.2", Instead: "2026.1.1"}, "2026.1.2", "2026.1.2"},
		"a newer creel, chosen is newer": {VersionRecord{Version: "2027.1.1", Instead: "2026.1.1"}, ours, "2027.1.1"},
		"a newer creel, chosen is older": {VersionRecord{Version: "2026.2.2", Instead: "2026.1.1"}, ours, ours},
		"trying":                         {VersionRecord{Version: "1", Trial: &Trial{From: "1", To: "2", Phase: Trying}}, "3", "2"},
		"rolling back":                   {VersionRecord{Version: "1", Trial: &Trial{From: "1", To: "2", Phase: RollingBack}}, "3", "1"},
	} {
		if got := test.record.Effective(test.configured); got != test.want {
			t.Errorf("%s: %s; want %s", name, got, test.want)
		}
	}
}

func TestNewer(t *testing.T) {
	ordered := strings.Fields("2026.2.3 2026.3.9 2026.3.23 2026.3.23-2 2026.9.6 2026.10.1 2027.1.1")
	for i, a := range ordered {
		for j, b := range ordered {
			if newer(a, b) != (i > j) {
				t.Errorf("newer(%s, %s) = %v", a, b, i <= j)
			}
		}
	}
}

// A record that cannot be read keeps the gateway from being started with a version
// that may not be the one.
func TestVersionRecordDamaged(t *testing.T) {
	l := newLayout(t)
	if err := (VersionRecord{Version: "2"}).Write(l); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadVersionRecord(l); err != nil || got.Version != "2" {
		t.Errorf("ReadVersionRecord = %+v, %v", got, err)
	}
	if err := os.WriteFile(l.versionPath(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := EffectiveVersion(l, "1"); err == nil || !strings.Contains(err.Error(), l.versionPath()) {
		t.Errorf("EffectiveVersion: %v", err)
	}
}
