//go:build e2e

// Package e2e tests creel from the outside: the creel binary as a process, the
// real OpenClaw gateway, a real browser. It knows of creel what its users can
// rely on: the command line, exit codes, the status as JSON, HTTP.
//
// Each test has a data folder of its own, which shares one installation of
// OpenClaw (see the command in install), a creel of its own and a port of its
// own. At its end, failed or not, nothing of it is left running; that nothing is
// left after a stop in good order is itself part of each test.
//
// A failed test leaves the output of its creels, the journal, the gateway's logs
// and screenshots in $CREEL_E2E_ARTIFACTS, or else in the folder artifacts here. A test
// of a variant, and TestAdmin, leaves its video in any case.
//
// Nothing is skipped: what is missing fails the run, with the next step. The
// script setup installs what can be installed.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// What prepare found or made.
var (
	binary    string // creel, built from this tree
	versions  string // the folder with the installed OpenClaw
	artifacts string // where failed tests leave what is worth a look
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	temp, err := os.MkdirTemp("", "creel-e2e-")
	if err != nil {
		return complain(err)
	}
	defer func() {
		if err := os.RemoveAll(temp); err != nil {
			code = complain(err)
		}
	}()
	if err := prepare(temp); err != nil {
		return complain(err)
	}
	if code = m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		return complain(err)
	}
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

func prepare(temp string) error {
	for _, program := range []string{"chromium", "ffmpeg"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("there is no %s in PATH; run test/e2e/setup, which installs it", program)
		}
	}
	out, err := goTool("run", "-tags", "e2e", "./install")
	if err != nil {
		return err
	}
	versions = strings.TrimSpace(out)
	binary = filepath.Join(temp, "creel")
	if _, err := goTool("build", "-o", binary, "creel/cmd/creel"); err != nil {
		return err
	}
	artifacts = os.Getenv("CREEL_E2E_ARTIFACTS")
	if artifacts == "" {
		artifacts = "artifacts"
	}
	artifacts, err = filepath.Abs(artifacts)
	return err
}

// goTool runs the go command and gives its standard output.
func goTool(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot run go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
