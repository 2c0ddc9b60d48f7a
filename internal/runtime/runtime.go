// Package runtime says where an instance of a gateway runs.
//
// An instance is one running copy of a gateway: a main process and whatever it
// has started. A Runtime starts an instance, finds one that an earlier creel
// has started, and ends one, orphans included. It decides nothing: when to
// start, to stop or to kill is the supervisor's business (package gateway).
//
// Every kind of runtime lives in a package of its own and passes the contract
// suite in runtimetest.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// ErrNoInstance is returned by Runtime.Find when no instance is recorded.
var ErrNoInstance = errors.New("no instance is recorded")

// Runtime starts and finds instances of one gateway.
//
// Its methods are called by one goroutine at a time.
type Runtime interface {
	// Start starts an instance. It returns once the command has been executed
	// (or could not be); it does not wait for the instance to listen. The
	// instance is recorded durably before its command runs, so that a creel
	// that dies at any instant finds it again. ctx bounds the start alone: the
	// instance outlives it.
	//
	// Errors that callers branch on: *PortTakenError, *CommandError.
	Start(ctx context.Context, spec Spec) (Instance, error)

	// Find returns the instance that is recorded, running or dead, or
	// ErrNoInstance. An instance that is dead has Done closed; Kill still
	// clears away what it left behind. *RecordError means that there is a
	// record which cannot be trusted.
	Find(ctx context.Context) (Instance, error)
}

// Instance is one running (or ended) copy of a gateway.
//
// Its methods may be called from any goroutine.
type Instance interface {
	// Record is what is known durably of the instance.
	Record() Record

	// Addr is the TCP address ("host:port") at which it serves.
	Addr() string

	// Done is closed when the main process has ended, as an event of the
	// kernel, not by polling. Children may still be running.
	Done() <-chan struct{}

	// Exit tells how the main process ended. It is valid once Done is closed.
	Exit() Exit

	// Terminate asks the main process to end in good order (SIGTERM). It is no
	// error if it has ended already.
	Terminate() error

	// Kill ends, at once, everything that belongs to the instance, orphans
	// included, and returns when nothing of it is left and its record is
	// removed. It may be called again, and after the main process has ended.
	Kill(ctx context.Context) error
}

// Spec is what to run.
type Spec struct {
	Gateway    string   // name of the gateway, [a-z0-9-]{1,40}
	Generation uint64   // number of this instance; grows by one with each start
	Command    []string // program and arguments; the program is looked up in Env's PATH
	Dir        string   // working directory; empty: creel's own
	Env        []string // the whole environment, as KEY=VALUE
	Port       int      // the TCP port on 127.0.0.1 at which it will listen; never 0
	ConfigHash string   // hash of the configuration that it runs with
}

// Record is what is kept on disk about an instance. It identifies a process
// beyond doubt: a pid alone may have been used again, so its start time (field
// 22 of /proc/pid/stat, in clock ticks since boot) and the boot id
// (/proc/sys/kernel/random/boot_id) belong to it.
type Record struct {
	Version    int       `json:"version"`
	Gateway    string    `json:"gateway"`
	Generation uint64    `json:"generation"`
	PID        int       `json:"pid"`
	StartTime  uint64    `json:"start_time"`
	BootID     string    `json:"boot_id"`
	Cgroup     string    `json:"cgroup,omitempty"` // directory of its cgroup; empty: none
	Port       int       `json:"port"`
	Command    []string  `json:"command"` // secrets are never in arguments
	ConfigHash string    `json:"config_hash"`
	StartedAt  time.Time `json:"started_at"`
	Host       string    `json:"host"`     // hash of /etc/machine-id or host name: a copied folder adopts nothing
	DataDir    string    `json:"data_dir"` // absolute path: likewise
}

// Exit tells how a main process ended.
type Exit struct {
	Known  bool           // false: an adopted process, whose status went to someone else
	Code   int            // exit code; meaningful if Known and Signal is 0
	Signal syscall.Signal // signal that killed it, or 0
	OOM    bool           // killed by the kernel for want of memory
	At     time.Time      // when the end was seen
}

// String says it in words, such as "exit code 78" or "killed by SIGKILL".
func (e Exit) String() string {
	switch {
	case e.OOM:
		return "killed by the kernel: out of memory"
	case !e.Known:
		return "ended (exit status unknown)"
	case e.Signal != 0:
		return "killed by " + SignalName(e.Signal)
	default:
		return fmt.Sprintf("exit code %d", e.Code)
	}
}

// SignalName gives a signal's usual name, such as "SIGKILL".
func SignalName(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGABRT: "SIGABRT", syscall.SIGBUS: "SIGBUS", syscall.SIGFPE: "SIGFPE",
		syscall.SIGHUP: "SIGHUP", syscall.SIGILL: "SIGILL", syscall.SIGINT: "SIGINT",
		syscall.SIGKILL: "SIGKILL", syscall.SIGPIPE: "SIGPIPE", syscall.SIGQUIT: "SIGQUIT",
		syscall.SIGSEGV: "SIGSEGV", syscall.SIGTERM: "SIGTERM", syscall.SIGTRAP: "SIGTRAP",
		syscall.SIGUSR1: "SIGUSR1", syscall.SIGUSR2: "SIGUSR2", syscall.SIGXCPU: "SIGXCPU",
	}
	if n, ok := names[s]; ok {
		return n
	}
	return fmt.Sprintf("signal %d", int(s))
}

// PortTakenError says that the port an instance is to listen on is in use, and
// by whom as far as the kernel tells.
type PortTakenError struct {
	Port    int
	PID     int    // 0: not to be found out (a process of another user)
	Command string // the holder's command line
}

func (e *PortTakenError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("port %d is taken by a process that creel may not see", e.Port)
	}
	return fmt.Sprintf("port %d is taken by pid %d (%s)", e.Port, e.PID, e.Command)
}

// CommandError says that a command could not be executed at all.
type CommandError struct {
	Command string
	Err     error
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("cannot run %q: %v", e.Command, e.Err)
}

func (e *CommandError) Unwrap() error { return e.Err }

// RecordError says that an instance record exists but cannot be trusted:
// corrupt, written by a newer creel, or from another machine or data folder.
type RecordError struct {
	Path   string
	Reason string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("cannot use the instance record %s: %s", e.Path, e.Reason)
}
