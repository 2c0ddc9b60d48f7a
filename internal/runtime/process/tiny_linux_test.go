//go:build linux && (amd64 || arm64)

package process

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTinyLauncher: where these tests run there is a tiny launcher. Else the
// other tests would say nothing of it.
func TestTinyLauncher(t *testing.T) {
	path, err := tinyProgram()
	if err != nil {
		t.Fatalf("there is no tiny launcher: %v", err)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, p := range program.Progs {
		if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
			t.Errorf("%s can be both written to and executed", p.Type)
		}
	}
	if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
		if _, err := f.Write([]byte{0}); !errors.Is(err, unix.EPERM) {
			t.Errorf("the program can be changed: %v", err)
		}
		_ = f.Close()
	}
	whole := tinyImage()
	if text := whole[len(whole)-tinyTextSize:]; !bytes.Contains(text, exitInstruction) {
		t.Errorf("its text does not end within %d bytes", tinyTextSize)
	}
}

// TestTinyByHand: without the control socket the tiny launcher does nothing.
func TestTinyByHand(t *testing.T) {
	path, err := tinyProgram()
	if err != nil {
		t.Fatal(err)
	}
	trace := t.TempDir() + "/trace"
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Args = []string{launcherName, "0", testBinary(t), testBinary(t), trace}
	cmd.Env = []string{role + "=touch"}
	err = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != exitNotReleased {
		t.Errorf("exit code %d, %v", code, err)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("the command has run")
	}
}

// TestTinyRefused: where the tiny launcher cannot be executed, as a security
// module may have it, creel's program is the launcher.
func TestTinyRefused(t *testing.T) {
	for _, parent := range parents(t) {
		t.Run(parent.Mode, func(t *testing.T) {
			r := testRuntime(t, t.TempDir(), parent)
			r.tiny = t.TempDir() + "/none"
			trace := t.TempDir() + "/trace"
			if exit := awaitDone(t, mustStart(t, r, roleSpec(freePort(t), "touch", trace))); exit.Code != 0 {
				t.Errorf("exit: %s", exit)
			}
			if _, err := os.Stat(trace); err != nil {
				t.Errorf("the command has not run: %v", err)
			}
		})
	}
}
