package probe

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary be the command of a Command probe: its words
// are what to do.
func TestMain(m *testing.M) {
	if words := os.Getenv("CREEL_TEST_COMMAND"); words != "" {
		command(strings.Fields(words))
		return
	}
	goleak.VerifyTestMain(m)
}

func command(words []string) {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "say":
			fmt.Println(value)
		case "flood":
			for range 10_000 {
				fmt.Println(strings.Repeat(value, 20))
			}
		case "args":
			fmt.Println(os.Args[1:])
		case "env":
			for _, e := range os.Environ() {
				fmt.Println(e)
			}
		case "dir":
			fmt.Println(os.Getwd())
		case "exit":
			os.Exit(len(value)) // one "x" for each
		case "child": // that holds the output open and outlives us; its number goes into a file
			child := exec.Command(os.Args[0])
			child.Env = []string{"CREEL_TEST_COMMAND=hang"}
			child.Stdout, child.Stderr = os.Stdout, os.Stderr
			if err := child.Start(); err != nil {
				panic(err)
			}
			if err := os.WriteFile(value, fmt.Append(nil, child.Process.Pid), 0o600); err != nil {
				panic(err)
			}
		case "hang":
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, syscall.SIGUSR1)
			<-signals
		}
	}
}
