package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type sample struct {
	Version int    `json:"version"`
	Text    string `json:"text"`
	More    *int   `json:"more,omitempty"`
}

func set(text string) func(*sample) Durability {
	return func(s *sample) Durability { s.Version, s.Text = 1, text; return Synced }
}

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	r, err := Open[sample](path, 1)
	if err != nil || r.Get() != (sample{}) {
		t.Fatalf("%+v, %v", r.Get(), err)
	}
	if changed, err := r.Change(set("one")); !changed || err != nil {
		t.Fatal(changed, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatal(info, err)
	}
	again, err := Open[sample](path, 1)
	if err != nil || again.Get().Text != "one" {
		t.Errorf("%+v, %v", again.Get(), err)
	}
	// What is the same is not written: the file is still that very one.
	if changed, err := r.Change(set("one")); changed || err != nil {
		t.Error(changed, err)
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(info, now) {
		t.Error("it was written again", err)
	}
}

// TestUnusable: what is not understood is an error, and stays as it is.
func TestUnusable(t *testing.T) {
	for name, text := range map[string]string{
		"empty": ``, "torn": `{"version":1,"te`, "newer": `{"version":2}`, "other": `{"text":"x"}`, "of another kind": `{"version":1,"text":7}`,
	} {
		path := filepath.Join(t.TempDir(), "record.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open[sample](path, 1)
		if err == nil || r.Get() != (sample{}) {
			t.Errorf("%s: %+v, %v", name, r.Get(), err)
		}
		if newer, ok := errors.AsType[*NewerError](err); ok != (name == "newer") || ok && newer.Version != 2 {
			t.Errorf("%s: %v", name, err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%s: it became %q, %v", name, b, err)
		}
		if err := os.WriteFile(path, []byte(`{"version":1,"text":"mended"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Read(); err != nil || r.Get().Text != "mended" {
			t.Errorf("%s: %+v, %v", name, r.Get(), err)
		}
	}
}

// TestFailedChange: a change that fails leaves file, memory and folder as they were.
func TestFailedChange(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := Open[sample](filepath.Join(dir, "record.json"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(set("one")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Change(set("two")); changed || err == nil || r.Get().Text != "one" {
		t.Errorf("%v, %v, %+v", changed, err, r.Get())
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(set("two")); err != nil || r.Get().Text != "two" {
		t.Errorf("%v, %+v", err, r.Get())
	}
}

// TestUnsured: a version that could not be made durable is in force, and written once
// more by a change that would change nothing.
func TestUnsured(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.json")
	r, err := Open[sample](path, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(set("one")); err != nil {
		t.Fatal(err)
	}
	r.unsured = true
	if changed, err := r.Change(func(s *sample) Durability { return Renamed }); changed || err != nil {
		t.Error(changed, err)
	}
	if changed, err := r.Change(set("one")); !changed || err != nil || r.unsured {
		t.Error(changed, err, r.unsured)
	}
}

// TestUnsuredStays: a version that could not be made durable is not taken to be so since
// another one could not even be written, nor one that did not need to be.
func TestUnsuredStays(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := Open[sample](filepath.Join(dir, "record.json"), 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(set("one")); err != nil {
		t.Fatal(err)
	}
	r.unsured = true
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(set("two")); err == nil {
		t.Error("it was changed")
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Change(set("one")); !changed || err != nil {
		t.Errorf("after a failure: %v, %v", changed, err)
	}
	renamed := func(s *sample) Durability { set("three")(s); return Renamed }
	if changed, err := r.Change(renamed); !changed || err != nil {
		t.Error(changed, err)
	}
	if changed, err := r.Change(set("three")); !changed || err != nil {
		t.Errorf("after a rename: %v, %v", changed, err)
	}
	if changed, err := r.Change(set("three")); changed || err != nil {
		t.Errorf("when it is durable: %v, %v", changed, err)
	}
}

// TestClearTemporary: what a writer has left that was killed goes, and nothing else.
func TestClearTemporary(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "record.json")
	for _, name := range []string{"record.json", ".record.json123", "record.json.old", ".other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"version":1}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open[sample](path, 1); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("left are %v (%v)", entries, err)
	}
}

func TestInMemory(t *testing.T) {
	r, err := Open[sample]("", 1)
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := r.Change(set("one")); !changed || err != nil || r.Get().Text != "one" {
		t.Errorf("%v, %v, %+v", changed, err, r.Get())
	}
}
