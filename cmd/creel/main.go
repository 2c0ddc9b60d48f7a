// Command creel keeps a stateful, single-instance app gateway alive.
package main

import (
	"os"

	"creel/internal/cli"
	"creel/internal/runtime/process"
)

func main() {
	process.RunLauncher()
	os.Exit(cli.Main(os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}
