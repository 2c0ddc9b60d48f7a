package process

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"creel/internal/runtime"
	"creel/internal/runtime/runtimetest"
)

// role says, in the environment, what the test binary was started as. Without
// it, it runs the tests.
const role = "CREEL_PROCESS_TEST"

// roles are the programs that the tests need besides the tests themselves.
var roles = map[string]func(args []string) int{
	"app": runtimetest.App,
	"run-apart": func(args []string) int {
		return tellError(RunApart(exec.Command(args[1], args[2:]...), hiding(args[0])))
	},
	"exec-apart": func(args []string) int { return tellError(ExecApart(args[1], args[1:], os.Environ(), hiding(args[0]))) },
}

// hiding hides a folder.
func hiding(dir string) *runtime.Apart { return &runtime.Apart{Hide: []string{dir}, Required: true} }

func tellError(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

func TestMain(m *testing.M) {
	// First of all: a process may be the launcher, or one of the programs.
	RunLauncher()
	if run, ok := roles[os.Getenv(role)]; ok {
		os.Exit(run(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}
