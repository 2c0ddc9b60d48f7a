package openclaw

import (
	"os"
	"strings"
	"testing"

	"creel/internal/telemetry"
)

// A token that creel has made, or was given, gives way to the one that it is given
// next, at whatever instant a creel has died in between.
func TestTokenAfterACrash(t *testing.T) {
	given := func(token telemetry.Secret, extra ...Setting) Settings {
		s := testSettings
		s.Token, s.TokenMode, s.Extra = token, Default, extra
		return s
	}
	wants := func(t *testing.T, l Layout, s Settings) {
		t.Helper()
		got, err := Configure(l, s)
		if err != nil || got.Token != s.Token || len(got.Notes) > 0 || !strings.Contains(getConfig(t, l), s.Token.Reveal()) {
			t.Errorf("the token is not the one that creel is given: %v, notes %q", err, got.Notes)
		}
	}
	// begin is Configure up to a moment, at which creel dies.
	begin := func(t *testing.T, l Layout, s Settings, written bool) {
		t.Helper()
		f, err := readConfig(l.Config())
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := f.prepare(l, s); err != nil {
			t.Fatal(err)
		}
		if written {
			if err := f.write(); err != nil {
				t.Fatal(err)
			}
		}
	}
	extra := Setting{Path: []string{"channels", "telegram", "enabled"}, Value: true, Mode: Default}
	for name, s := range map[string]Settings{"the token alone": given("second"), "with another key": given("second", extra)} {
		for written, when := range map[bool]string{false: "before", true: "after"} {
			t.Run(name+", dead "+when+" the file is written", func(t *testing.T) {
				l := newLayout(t)
				wants(t, l, given("first"))
				begin(t, l, s, written)
				wants(t, l, given("third"))
			})
		}
	}
	t.Run("the first one that was made", func(t *testing.T) {
		for _, written := range []bool{false, true} {
			l := newLayout(t)
			if err := l.makeFolders(); err != nil {
				t.Fatal(err)
			}
			begin(t, l, given(""), written)
			if _, err := Configure(l, given("")); err != nil {
				t.Fatal(err)
			}
			wants(t, l, given("second"))
		}
	})
	t.Run("a person's", func(t *testing.T) {
		l := newLayout(t)
		wants(t, l, given("first"))
		putConfig(t, l, strings.Replace(getConfig(t, l), "first", "own", 1))
		begin(t, l, given("second", extra), true)
		if got, err := Configure(l, given("third")); err != nil || got.Token != "own" || len(got.Notes) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("a file that cannot be written for a while", func(t *testing.T) {
		l := newLayout(t)
		wants(t, l, given("first"))
		if err := os.Chmod(l.Config(), 0o400); err != nil {
			t.Fatal(err)
		}
		_, err := Configure(l, given("second", extra))
		assertRefused(t, l, err, ConfigReadOnly, "chmod")
		if err := os.Chmod(l.Config(), 0o600); err != nil {
			t.Fatal(err)
		}
		wants(t, l, given("second", extra))
	})
}
