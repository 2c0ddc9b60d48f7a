package process

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/runtime/runtimetest"
)

// role says, in the environment, what the test binary was started as. Without
// it, it runs the tests.
const role = "CREEL_PROCESS_TEST"

// roles are the programs that the tests need besides the tests themselves.
var roles = map[string]func(args []string) int{
	"app": runtimetest.App,
}

func TestMain(m *testing.M) {
	// First of all: a process may be the launcher, or one of the programs.
	RunLauncher()
	if run, ok := roles[os.Getenv(role)]; ok {
		os.Exit(run(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}
