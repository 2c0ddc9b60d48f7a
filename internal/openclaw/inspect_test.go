package openclaw

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeCLI is OpenClaw's command line: a configuration that contains one of bad is
// refused, and the doctor cuts out what cures says.
type fakeCLI struct {
	l     Layout
	bad   []string
	cures map[string]string
	calls []string
}

func (f *fakeCLI) run(_ context.Context, args ...string) (string, error) {
	call := strings.Join(args[:2], " ")
	f.calls = append(f.calls, call)
	b, path := f.l.present()
	text := string(b)
	if call == "doctor --fix" {
		for what, cure := range f.cures {
			text = strings.ReplaceAll(text, what, cure)
		}
		return "", os.WriteFile(path, []byte(text), 0o600)
	}
	for _, bad := range f.bad {
		if strings.Contains(text, bad) {
			return "(node) a warning {\n" + `{"ok":false,"valid":false,"issues":[{"path":"<root>","message":"Unrecognized key: \"` + bad + `\""}]}`, exec.Command("false").Run()
		}
	}
	return `{"valid":true,"warnings":[]}`, nil
}

// bench is an Inspector and what it has told.
type bench struct {
	*Inspector
	t     *testing.T
	cli   *fakeCLI
	notes []ConfigNote
}

func newBench(t *testing.T) *bench {
	l := newLayout(t)
	b := &bench{t: t, cli: &fakeCLI{l: l}}
	clock := time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC)
	b.Inspector = &Inspector{
		Layout: l, Version: "1", Run: b.cli.run,
		Configure: func() (Configured, error) { return Configure(l, testSettings) },
		Note:      func(n ConfigNote) { b.notes = append(b.notes, n) },
		now:       func() time.Time { clock = clock.Add(time.Second); return clock },
	}
	return b
}

// start prepares a start, and gives what was told and asked meanwhile in short.
func (b *bench) start(wantNotes, wantCalls string) error {
	b.t.Helper()
	b.notes, b.cli.calls = nil, nil
	_, err := b.Prepare(b.t.Context())
	var notes []string
	for _, n := range b.notes {
		notes = append(notes, n.What+" by "+string(n.By))
	}
	if got := strings.Join(notes, ", "); got != wantNotes {
		b.t.Errorf("noted: %q; want %q", got, wantNotes)
	}
	if got := strings.Join(b.cli.calls, ", "); got != wantCalls {
		b.t.Errorf("asked: %q; want %q", got, wantCalls)
	}
	return err
}

func (b *bench) mustStart(wantNotes, wantCalls string) {
	b.t.Helper()
	if err := b.start(wantNotes, wantCalls); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) ran() {
	b.t.Helper()
	if err := b.Ran(); err != nil {
		b.t.Fatal(err)
	}
}

// edit changes the file as a person would.
func (b *bench) edit(from, to string) {
	b.t.Helper()
	text := getConfig(b.t, b.Layout)
	if !strings.Contains(text, from) {
		b.t.Fatalf("%q is not in\n%s", from, text)
	}
	putConfig(b.t, b.Layout, strings.Replace(text, from, to, 1))
}

func (b *bench) refused() []string {
	b.t.Helper()
	all, err := filepath.Glob(b.Layout.Config() + RefusedInfix + "*")
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

const validates, doctors = "config validate", "doctor --fix"

// OpenClaw is asked once about a configuration, and again when it says something
// else; neither a restart nor another port is something else.
func TestValidatedOnce(t *testing.T) {
	b := newBench(t)
	b.mustStart("", "") // creel's own keys alone
	b.mustStart("", "")
	b.edit(`"mode": "local",`, `"mode": "local", "x": 1,`)
	b.mustStart("changed by person", validates)
	b.mustStart("", "")
	b.edit(`"mode": "local",`, "\"mode\": \"local\", // a comment\n")
	b.Configure = func() (Configured, error) { return Configure(b.Layout, Settings{Port: 4711}) }
	b.mustStart("changed by creel", "")
	b.Version = "2"
	b.mustStart("", validates)
}

// Who has changed the file is told by what OpenClaw leaves beside it.
func TestAuthors(t *testing.T) {
	b := newBench(t)
	b.mustStart("", "")
	old := getConfig(t, b.Layout)
	b.edit(`"mode": "local",`, `"mode": "local", "token": "new-secret",`)
	if err := os.WriteFile(b.Layout.Config()+".bak", []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	b.mustStart("changed by openclaw", validates)
	if got := b.notes[0].Changes; len(got) != 1 || got[0].Key != "gateway.token" || got[0].Before != "" || !strings.Contains(got[0].After, "[redacted]") {
		t.Errorf("changes: %v", got)
	}
	b.edit(`"new-secret"`, `"other-secret"`)
	b.mustStart("changed by person", validates)
}

// What the doctor can mend is mended once, with the file of before beside it.
func TestDoctorMends(t *testing.T) {
	b := newBench(t)
	b.cli.bad, b.cli.cures = []string{"nonsense"}, map[string]string{`"nonsense": 1,`: ""}
	b.mustStart("", "")
	b.edit(`"mode": "local",`, `"mode": "local", "nonsense": 1,`)
	b.mustStart("changed by person, refused by openclaw, repaired by openclaw", "config validate, doctor --fix, config validate")
	last := b.notes[2]
	if kept, err := os.ReadFile(last.Kept); err != nil || !strings.Contains(string(kept), "nonsense") {
		t.Errorf("kept: %s, %v", kept, err)
	}
	if len(last.Changes) != 1 || last.Changes[0].String() != "gateway.nonsense: 1 removed" {
		t.Errorf("changes: %v", last.Changes)
	}
	if strings.Contains(getConfig(t, b.Layout), "nonsense") {
		t.Error("it is still there")
	}
	b.mustStart("", "")
}

// What the doctor cannot mend makes way for what ran last.
func TestFallBack(t *testing.T) {
	b := newBench(t)
	b.cli.bad = []string{"nonsense"}
	b.mustStart("", "")
	b.ran()
	b.edit(`"mode": "local",`, `"mode": "local", "nonsense": 1,`)
	edited := getConfig(t, b.Layout)
	b.mustStart("changed by person, refused by openclaw, fell_back by creel", "config validate, doctor --fix, config validate, config validate")
	if strings.Contains(getConfig(t, b.Layout), "nonsense") {
		t.Error("the refused one is still there")
	}
	if all := b.refused(); len(all) != 1 {
		t.Errorf("refused: %v", all)
	} else if kept, err := os.ReadFile(all[0]); err != nil || string(kept) != edited {
		t.Errorf("kept: %s, %v", kept, err)
	}
	if msg := b.notes[2].Message; !strings.Contains(msg, `Unrecognized key: "nonsense"`) || !strings.Contains(msg, b.refused()[0]) {
		t.Errorf("message: %s", msg)
	}
	b.mustStart("", "")
	// The same again: the doctor has had its turn.
	putConfig(t, b.Layout, edited)
	b.mustStart("changed by person, refused by openclaw, fell_back by creel", "config validate, config validate")
	for range 2 * keepRefused {
		putConfig(t, b.Layout, edited)
		if err := b.start("changed by person, refused by openclaw, fell_back by creel", "config validate, config validate"); err != nil {
			t.Fatal(err)
		}
	}
	if all := b.refused(); len(all) != keepRefused {
		t.Errorf("%d refused ones are kept", len(all))
	}
}

// With nothing to fall back on the file is as it was, and the error says why.
func TestNothingToFallBackOn(t *testing.T) {
	b := newBench(t)
	b.cli.bad, b.cli.cures = []string{"nonsense"}, map[string]string{`"mode": "local",`: `"mode": "local", "worse": 1,`}
	putConfig(t, b.Layout, `{"nonsense": 1} // mine`)
	for range 2 { // a person tries again
		err := b.start("changed by creel, refused by openclaw", "config validate, doctor --fix, config validate")
		var refused *ConfigError
		if !errors.As(err, &refused) || refused.Reason != ConfigInvalid || !strings.Contains(err.Error(), `Unrecognized key: "nonsense"`) {
			t.Fatalf("Prepare: %v", err)
		}
		if text := getConfig(t, b.Layout); !strings.Contains(text, "// mine") || strings.Contains(text, "worse") {
			t.Errorf("the file is another one:\n%s", text)
		}
		if all := b.refused(); len(all) != 0 {
			t.Errorf("kept though it is in its place: %v", all)
		}
		putConfig(t, b.Layout, `{"nonsense": 1} // mine`)
		if err := os.Remove(filepath.Join(b.Layout.configDir(), copySeen)); err != nil {
			t.Fatal(err)
		}
	}
	b.edit(`"nonsense": 1`, ``)
	b.mustStart("changed by creel", validates)
}

// A broken file makes way for what ran last, without a doctor; one in a place that
// creel cannot write to does not.
func TestBrokenFileFallsBack(t *testing.T) {
	b := newBench(t)
	b.mustStart("", "")
	b.ran()
	putConfig(t, b.Layout, `{"gateway": {`)
	b.mustStart("refused by openclaw, fell_back by creel", validates)
	putConfig(t, b.Layout, `{"gateway": {`)
	if err := os.Chmod(b.Layout.Config(), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := b.start("", ""); err == nil || getConfig(t, b.Layout) != `{"gateway": {` {
		t.Errorf("a read-only file: %v, %s", err, getConfig(t, b.Layout))
	}
}

// Exit code 78 with a configuration that was called valid: the doctor once, then
// what ran last, then no more.
func TestExit78(t *testing.T) {
	b := newBench(t)
	again := func(want bool) {
		t.Helper()
		if got, err := b.Refused("exit code 78"); err != nil || got != want {
			t.Fatalf("Refused = %v, %v", got, err)
		}
	}
	b.mustStart("", "")
	b.ran()
	b.edit(`"mode": "local",`, `"mode": "local", "x": 1,`)
	b.mustStart("changed by person", validates)
	again(true)
	b.mustStart("refused by openclaw, repaired by openclaw", "doctor --fix, config validate") // it changed nothing, and may have mended the state
	again(true)
	b.mustStart("refused by openclaw, fell_back by creel", validates)
	again(true)
	b.mustStart("refused by openclaw, repaired by openclaw", "doctor --fix, config validate")
	again(false)
	b.mustStart("", validates) // a person's start
	again(true)

	c := newBench(t)
	c.NoFallBack = true
	c.mustStart("", "")
	c.ran()
	c.edit(`"mode": "local",`, `"mode": "local", "x": 1,`)
	c.mustStart("changed by person", validates)
	if again, err := c.Refused("x"); err != nil || !again {
		t.Fatal(again, err)
	}
	c.mustStart("refused by openclaw, repaired by openclaw", "doctor --fix, config validate")
	if again, err := c.Refused("x"); err != nil || again {
		t.Errorf("another version falls back: %v, %v", again, err)
	}
}

// A creel that is killed while the doctor works does not ask it again.
func TestDoctorIsAskedOnce(t *testing.T) {
	b := newBench(t)
	b.cli.bad = []string{"nonsense"}
	b.mustStart("", "")
	b.ran()
	b.edit(`"mode": "local",`, `"mode": "local", "nonsense": 1,`)
	ctx, kill := context.WithCancel(t.Context())
	run := b.Run
	b.Run = func(ctx context.Context, args ...string) (string, error) {
		if args[0] == "doctor" {
			kill()
			return "", ctx.Err()
		}
		return run(ctx, args...)
	}
	if _, err := b.Prepare(ctx); err == nil {
		t.Fatal("no error though creel was killed")
	}
	b.Run = run
	b.mustStart("changed by person, refused by openclaw, fell_back by creel", "config validate, config validate")
}

// What gives no answer does not keep a gateway from starting.
func TestValidateWithoutAnAnswer(t *testing.T) {
	b := newBench(t)
	b.Run = func(context.Context, ...string) (string, error) { return "Segmentation fault", nil }
	putConfig(t, b.Layout, `{"x": 1}`)
	c, err := b.Prepare(t.Context())
	if err != nil || len(c.Notes) != 1 || !strings.Contains(c.Notes[0], "Segmentation fault") {
		t.Errorf("Prepare = %+v, %v", c, err)
	}
}

func TestDiffConfig(t *testing.T) {
	const before = `{"a": 1, "gone": {"x": true}, "list": [1, 2], "models": {"providers": {"p": {"apiKey": "k1", "maxTokens": 5, "headers": {"x": "h"}}}}, "env": {"A": "secret"}}`
	const after = `{a: 1, "list": [2, 1], // order counts
	  "models": {"providers": {"p": {"apiKey": "k2", "maxTokens": 6, "headers": {"x": "i"}}}}, "env": {"A": "secret2"}, "new": {}}`
	var got []string
	for _, c := range DiffConfig([]byte(before), []byte(strings.Replace(after, "a: 1", `"a": 1`, 1))) {
		got = append(got, c.String())
	}
	want := []string{
		`env.A: "[redacted]" -> "[redacted]"`, `gone.x: true removed`, `list: [1,2] -> [2,1]`,
		`models.providers.p.apiKey: "[redacted]" -> "[redacted]"`, `models.providers.p.headers.x: "[redacted]" -> "[redacted]"`,
		`models.providers.p.maxTokens: 5 -> 6`, `new: {} added`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("DiffConfig:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What has a secret's name is masked, whatever it is.
func TestDiffConfigMasks(t *testing.T) {
	for _, name := range []string{"encryptKey", "encodingAesKey", "passwd", "pin", "botToken", "password"} {
		changes := DiffConfig([]byte(`{"`+name+`": 4711}`), []byte(`{"`+name+`": "hunter2"}`))
		if len(changes) != 1 || changes[0].String() != name+`: "[redacted]" -> "[redacted]"` {
			t.Errorf("%s: %v", name, changes)
		}
	}
	for _, name := range []string{"maxTokens", "sessionKey", "pinned"} {
		if changes := DiffConfig([]byte(`{"`+name+`": 1}`), []byte(`{"`+name+`": 2}`)); len(changes) != 1 || changes[0].String() != name+`: 1 -> 2` {
			t.Errorf("%s: %v", name, changes)
		}
	}
}

// The diff for a person is between what ran and what is there.
func TestConfigDiff(t *testing.T) {
	b := newBench(t)
	if changes, _, ran, err := ConfigDiff(b.Layout); err != nil || len(changes) != 0 || !ran.IsZero() {
		t.Errorf("before the first start: %v, %v, %v", changes, ran, err)
	}
	b.mustStart("", "")
	b.ran()
	b.edit(`"mode": "local",`, `"mode": "local", "x": 1,`)
	changes, by, ran, err := ConfigDiff(b.Layout)
	if err != nil || by != ByPerson || ran.IsZero() || len(changes) != 1 || changes[0].Key != "gateway.x" {
		t.Errorf("ConfigDiff = %v, %v, %v, %v", changes, by, ran, err)
	}
	if text, err := json.Marshal(changes); err != nil || string(text) != `[{"key":"gateway.x","after":"1"}]` {
		t.Errorf("as JSON: %s, %v", text, err)
	}
}
