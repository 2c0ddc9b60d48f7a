package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/cli"
	"creel/internal/runtime/process"
)

// TestMain makes this test binary what the benchmark starts: its own roles, and
// a creel.
func TestMain(m *testing.M) {
	process.RunLauncher()
	if code, ok := runRole(os.Args[1:]); ok {
		os.Exit(code)
	}
	if len(os.Args) > 1 && (os.Args[1] == "run" || os.Args[1] == "snapshot" || os.Args[1] == "version") {
		os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	// Under the race detector each process would sleep for a second at its end.
	if os.Getenv("GORACE") == "" {
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
