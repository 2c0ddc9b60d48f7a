package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/internal/config"
)

// TestGeneratedFiles fails when a generated file does not say what the structs
// do.
func TestGeneratedFiles(t *testing.T) {
	files, err := generate("..")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 3 {
		t.Errorf("%d files, want 3", len(files))
	}
	for path, want := range files {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf(`%s is stale; run "go generate ./internal/config"`, path)
		}
	}
}

// TestCommentsAreRequired: a key without a meaning is not let through.
func TestCommentsAreRequired(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.go")
	src := "package config\ntype Config struct {\n\t// Listen is the address.\n\tListen string\n\tPort int\n}\n"
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readComments(path); err == nil || !strings.Contains(err.Error(), "Config.Port") {
		t.Errorf("got %v", err)
	}
}

// TestEveryKeyIsCovered: nor is one whose struct stands in a file that is not read.
func TestEveryKeyIsCovered(t *testing.T) {
	keys := []config.Key{{Path: "listen", Field: "Config.Listen"}, {Path: "new", Field: "New.Key"}}
	if err := (comments{"Config.Listen": "The address."}).cover(keys); err == nil || !strings.Contains(err.Error(), "New.Key") {
		t.Errorf("got %v", err)
	}
}

func TestMeaning(t *testing.T) {
	for _, tt := range []struct{ name, comment, want string }{
		{"Listen", "Listen is the TCP\naddress.\n", "The TCP address."},
		{"Routes", "Routes are the routes.", "The routes."},
		{"Stop", "Stop says how.", "Says how."},
		{"Log", "Log is creel's own log.", "creel's own log."},
		{"X", "", ""},
	} {
		if got := meaning(tt.name, tt.comment); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
