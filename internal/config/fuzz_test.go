package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzFile: whatever is in a file, Load neither panics nor blames another place
// than the file; and what it accepts, it can show and read again.
func FuzzFile(f *testing.F) {
	seeds, err := filepath.Glob("testdata/problems/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(seeds, exampleFile, showFile) {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", "---", "a: &a [*a]", "gateway: {command: [\"a\\nb\"]}", "\xff", "%YAML 9.9\n---\n", "? ", "- - -", "gateway: {preset: openclaw, env: {\"a\\tb\": x}}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, sources, err := loadBytes("/in/creel.yaml", data)
		if err != nil {
			problems, ok := errors.AsType[*Problems](err)
			if !ok || len(problems.List) == 0 || problems.Error() == "" {
				t.Fatalf("not a *Problems: %#v", err)
			}
			for _, p := range problems.List {
				if p.Origin != OriginFile || p.File != "/in/creel.yaml" || p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Fatalf("no place: %+v", p)
				}
			}
			return
		}
		text, err := Render(cfg, sources)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := loadBytes("/in/again.yaml", text)
		if err != nil {
			t.Fatalf("what is shown cannot be read: %v\n%s", err, text)
		}
		hideValues(cfg)
		if changes := Diff(cfg, again); changes != nil {
			t.Fatalf("what is shown means something else: %+v\n%s", changes, text)
		}
		if Hash(cfg.Gateway) != Hash(again.Gateway) {
			t.Fatal("the hash is another")
		}
	})
}

// loadBytes is Load of a file that exists in memory alone.
func loadBytes(path string, data []byte) (*Config, *Sources, error) {
	return build(LoadOptions{DataDir: "/d"}, nil, &document{path: path, data: data}, &problems{})
}

func hideValues(cfg *Config) {
	cfg.Gateway.Env = redact(cfg.Gateway.Env)
}
