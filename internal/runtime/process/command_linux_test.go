package process

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

func TestLookCommand(t *testing.T) {
	dir := t.TempDir()
	for path, mode := range map[string]os.FileMode{
		"bin/tool": 0o755, "bin/plain": 0o644, "first/plain": 0o644, "second/plain": 0o755,
	} {
		full := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	in := func(names ...string) []string {
		path := "PATH="
		for i, n := range names {
			if i > 0 {
				path += ":"
			}
			path += filepath.Join(dir, n)
		}
		return []string{path}
	}
	t.Setenv("PATH", filepath.Join(dir, "bin")) // creel's own, which does not count
	tests := []struct {
		name    string
		command []string
		dir     string
		env     []string
		want    string
		err     error
	}{
		{"in PATH", []string{"tool"}, "", in("first", "bin"), "bin/tool", nil},
		{"executable one behind another", []string{"plain"}, "", in("first", "second"), "second/plain", nil},
		{"absolute", []string{dir + "/bin/tool"}, "", nil, "bin/tool", nil},
		{"relative to the working directory", []string{"./tool"}, dir + "/bin", nil, "bin/tool", nil},
		{"only in creel's PATH", []string{"tool"}, "", in("first"), "", exec.ErrNotFound},
		{"no PATH", []string{"tool"}, "", nil, "", exec.ErrNotFound},
		{"relative PATH", []string{"tool"}, dir, []string{"PATH=bin:."}, "", exec.ErrNotFound},
		{"not executable in PATH", []string{"plain"}, "", in("bin"), "", fs.ErrPermission},
		{"not executable", []string{dir + "/bin/plain"}, "", nil, "", fs.ErrPermission},
		{"a directory", []string{dir + "/bin"}, "", nil, "", unix.EISDIR},
		{"missing", []string{dir + "/bin/none"}, "", nil, "", fs.ErrNotExist},
		{"no working directory", []string{dir + "/bin/tool"}, dir + "/none", nil, "", fs.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := lookCommand(runtime.Spec{Command: tt.command, Dir: tt.dir, Env: tt.env})
			if tt.err != nil {
				requireCommandError(t, err, tt.err)
				return
			}
			if want := filepath.Join(dir, tt.want); err != nil || got != want {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		})
	}
	if _, err := lookCommand(runtime.Spec{}); err == nil {
		t.Error("no command was accepted")
	}
}

func requireCommandError(t *testing.T, err, want error) {
	t.Helper()
	var command *runtime.CommandError
	if !errors.As(err, &command) || !errors.Is(err, want) {
		t.Errorf("error %v, want a CommandError that wraps %v", err, want)
	}
}

func timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), testTimeout)
}
