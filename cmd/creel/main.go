// Command creel keeps a stateful, single-instance app gateway alive.
package main

import (
	"os"
	"slices"

	"creel/internal/cli"
	"creel/internal/provider"
	"creel/internal/runtime/process"
)

func main() {
	process.RunLauncher()
	if runsDaemon(os.Args[1:]) {
		provider.SecludeEarly()
	}
	os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// runsDaemon tells whether the command line may be that of a daemon, before it is read:
// another that is taken for one loses nothing.
func runsDaemon(args []string) bool {
	return slices.Contains(args, "run") || slices.Contains(args, "up")
}
