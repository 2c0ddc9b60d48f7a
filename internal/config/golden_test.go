package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (write it anew with -update if that is meant):\n--- got\n%s\n--- want\n%s", path, got, want)
	}
}

// TestProblems shows what a person reads for each sort of mistake. The text of a
// problem is part of the interface, so a change has to be seen.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			_, _, err := Load(LoadOptions{Path: file, DataDir: "/var/lib/creel"})
			if err == nil {
				t.Fatal("the file was accepted")
			}
			// Messages must not depend on where the test runs.
			golden(t, filepath.Join("problems", name+".golden"), []byte(err.Error()+"\n"))
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is shown:\n%v", err)
			}
			checkPlaces(t, err, file)
		})
	}
}

const showFile = "testdata/show/creel.yaml"

// loadShow is a configuration that has every source.
func loadShow(t *testing.T) (*Config, *Sources) {
	t.Helper()
	cfg, sources, err := Load(LoadOptions{
		Path:    showFile,
		DataDir: "/var/lib/creel",
		Environ: []string{"CREEL_LOG_LEVEL=debug", "CREEL_GATEWAY_ENV_TOKEN=hunter2", "CREEL_PROXY_TRUSTED_PROXIES="},
		Flags:   []Flag{{Name: "--listen", Key: "listen", Values: []string{"[::1]:0"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg, sources
}

// TestShow shows the output of "creel config show", in which each value has its
// source and variables have no value.
func TestShow(t *testing.T) {
	cfg, sources := loadShow(t)
	text, err := Render(cfg, sources)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "show/show.golden", text)
	data, err := RenderJSON(cfg, sources)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "show/show.json.golden", data)
	for _, out := range [][]byte{text, data} {
		if bytes.Contains(out, []byte("hunter2")) {
			t.Errorf("a secret is shown:\n%s", out)
		}
	}
}
