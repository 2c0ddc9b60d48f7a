// Package cli is creel's command line, one file per command.
//
// Output rules: what was asked for goes to standard output, and nothing else
// does; progress, logs and errors go to standard error. --json gives one JSON
// value (or one per line where there are many), in the API's form. Errors are
// one sentence that says what could not be done and what to do next.
//
// Exit codes: 0 fine, 1 failed, 2 wrong usage or configuration, 3 the daemon is
// not reachable.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"creel/internal/config"
	"creel/internal/daemon"
)

// Exit codes.
const (
	exitFine        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// env is what a command works with.
type env struct {
	ctx     context.Context // ends with SIGINT or SIGTERM
	hurry   <-chan struct{} // closed by a second one
	environ []string
	stdout  io.Writer // remembers that it has failed: see output
	plain   io.Writer // the same as it was given, which may be a terminal
	stderr  io.Writer
	dataDir string // --data-dir, as given
	json    bool   // --json
}

// Main runs creel with the given arguments and environment, and returns its
// exit code.
func Main(args, environ []string, stdout, stderr io.Writer) int {
	ctx, hurry, stop := signals()
	defer stop()
	printed := &output{Writer: stdout}
	e := &env{ctx: ctx, hurry: hurry, environ: environ, stdout: printed, plain: stdout, stderr: stderr}
	root := newRoot(e)
	root.SetArgs(args)
	began := false
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		began = true
		// A variable of a script's that is not set must not lead to another gateway.
		if f := cmd.Flag("data-dir"); f != nil && f.Changed && e.dataDir == "" {
			return usage("--data-dir is empty; name the folder, or leave --data-dir out")
		}
		return nil
	}
	cmd, err := root.ExecuteContextC(ctx)
	if printed.failed != nil && (err == nil || !began) { // not begun: its help, or the version
		began, err = true, printed.failed
	}
	if err == nil {
		return exitFine
	}
	fmt.Fprintln(stderr, "creel:", err)
	if !began { // cobra refused the arguments
		if cmd.HasParent() {
			fmt.Fprintln(stderr, "Usage:", cmd.UseLine())
		}
		fmt.Fprintf(stderr, "See `%s --help`.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitCode(err)
}

// signals gives a context that ends with the first SIGINT or SIGTERM, and a
// channel that is closed by the second.
func signals() (context.Context, <-chan struct{}, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	hurry := make(chan struct{})
	got := make(chan os.Signal, 2)
	signal.Notify(got, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; n < 2; n++ {
			if _, ok := <-got; !ok {
				return
			}
			if n == 0 {
				cancel()
			} else {
				close(hurry)
			}
		}
	}()
	return ctx, hurry, func() {
		signal.Stop(got)
		close(got)
		<-done
		cancel()
	}
}

// usageError is an error of whoever typed the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// unreachableError says that no daemon answers at a data folder's socket.
type unreachableError struct {
	dataDir  string
	readOnly bool // one may run all the same, without a socket
	err      error
}

func (e *unreachableError) Error() string {
	if errors.Is(e.err, fs.ErrPermission) {
		return fmt.Sprintf("cannot reach the creel on the data folder %s: %v; give this command as the user that creel runs as, or as root", e.dataDir, e.err)
	}
	if e.readOnly {
		return fmt.Sprintf("no creel can be reached on the data folder %s, since its file system is read-only, and a creel that was started after it became so has no control socket (%v): if one runs, it tells how it is at http://ADDRESS/_creel/status, ADDRESS being where it listens, and opens the socket when the folder is writable again", e.dataDir, e.err)
	}
	return fmt.Sprintf("no creel is running on the data folder %s: %v; start one with `creel up`, or name the folder of the one you mean with --data-dir", e.dataDir, e.err)
}

func (e *unreachableError) Unwrap() error { return e.err }

// away says of a creel that what it has left is read.
func (e *unreachableError) away() string {
	if e.readOnly {
		return "no creel can be reached, since the data folder is read-only"
	}
	return "creel is not running"
}

// exitCode tells errors apart.
func exitCode(err error) int {
	var (
		wrong       usageError
		problems    *config.Problems
		inUse       *daemon.InUseError
		folder      *daemon.DataDirError
		certificate *daemon.CertificateError
		door        *daemon.OpenDoorError
		signIn      *daemon.AuthError
		unreachable *unreachableError
	)
	switch {
	case errors.As(err, &unreachable):
		return exitUnreachable
	case errors.As(err, &wrong), errors.As(err, &problems), errors.As(err, &inUse), errors.As(err, &folder), errors.As(err, &certificate), errors.As(err, &door), errors.As(err, &signIn):
		return exitUsage
	}
	return exitFailed
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "creel",
		Short: "Keeps a stateful, single-instance app gateway alive",
		Long: `creel starts an app gateway, passes HTTP and WebSocket on to it, and when it
crashes restarts it once and sends again every request that is safe to send
again, so that clients do not notice.

  creel up                              OpenClaw: installed, configured, started
  creel run -- node server.js           any HTTP server that listens on $PORT

Most other commands talk to the creel that runs on the data folder.

Exit codes: 0 fine; 1 failed; 2 wrong usage or configuration; 3 no creel can be
reached on the data folder.`,
		SilenceUsage: true, SilenceErrors: true, Version: Version(),
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	root.SetVersionTemplate(versionLine())
	root.PersistentFlags().StringVar(&e.dataDir, "data-dir", "", "`DIR` of creel's records, logs and journal (default: $CREEL_DATA_DIR, else "+defaultDataDirText(e)+")")
	root.AddCommand(
		newUp(e), newRun(e), newStatus(e), newEvents(e), newLogs(e),
		newAct(e, startAct), newAct(e, restartAct), newAct(e, stopAct),
		newReload(e), newDevices(e), newProviders(e), newLogin(e), newSessions(e), newTokens(e), newOwner(e), newAuth(e), newOpenClaw(e), newUpgrade(e), newSnapshot(e), newImport(e), newConfig(e), newDoctor(e), newVersion(e),
	)
	giveExamples(root)
	refuseStrays(root)
	return root
}

func defaultDataDirText(e *env) string {
	dir, err := config.DefaultDataDir(e.lookup, os.Getuid())
	if err != nil {
		return "none, since $HOME is not set"
	}
	return dir
}

// lookup looks a variable of the environment up.
func (e *env) lookup(name string) (string, bool) {
	for _, kv := range e.environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// folder is the data folder of the daemon that a command talks to.
func (e *env) folder() (string, error) {
	dir := e.dataDir
	if dir == "" {
		dir, _ = e.lookup("CREEL_DATA_DIR")
	}
	if dir == "" {
		var err error
		if dir, err = config.DefaultDataDir(e.lookup, os.Getuid()); err != nil {
			return "", usageError{err}
		}
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot find the data folder: %w", err)
	}
	return abs, nil
}
