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
	"strconv"
	"strings"
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
	// Errors that callers branch on: *PortTakenError, *CommandError,
	// *LimitError.
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

	// Freeze holds every process of the instance still, orphans included, and
	// returns when none of them runs. It is no error if they are held already.
	// It fails, with nothing held, when ctx ends first, and when the main process
	// has ended or Kill has begun (*EndedError). Terminate and Kill thaw.
	Freeze(ctx context.Context) error

	// Thaw lets go on what Freeze holds still, be it that of an earlier creel.
	// It is no error if nothing is held, or nothing is left.
	Thaw() error

	// Frozen reports whether Freeze, of this or an earlier creel, holds the
	// instance, or began to and was cut short. A caller that relies on the
	// stillness asks before it thaws: true means that nobody has thawed the
	// instance meanwhile.
	Frozen() (bool, error)
}

// EndedError says that something was asked of an instance whose main process
// has ended, or is being killed.
type EndedError struct {
	Gateway    string
	Generation uint64
}

func (e *EndedError) Error() string {
	return fmt.Sprintf("gateway %s, generation %d, has ended", e.Gateway, e.Generation)
}

// Stray is a process that runs in the gateway's name, but not as part of the
// instance that is recorded: what a start that was cut short has left, or an
// instance of which the record was lost, say since an older copy of the data
// folder was put in its place.
type Stray struct {
	PID       int    `json:"pid"`
	StartTime uint64 `json:"-"` // as in Record
	Command   string `json:"command"`
	Where     string `json:"where"` // by what it is known, such as its cgroup
}

// Activity is what all processes of an instance have done so far, together.
type Activity struct {
	CPU   time.Duration // processor time used
	IO    uint64        // bytes read and written, from and to anything; 0: not to be seen
	Tasks uint64        // changes with every process that begins or ends
	// Runnable: a thread runs at this moment, or waits for a processor.
	Runnable bool
	// Backlog is how many connections to its port it has not accepted yet.
	Backlog int
	// Held: somebody keeps it from running at all. It is frozen, by creel or from
	// outside, or its main process is held by a debugger.
	Held bool
}

// Watched is implemented by an Instance whose processes can be looked at.
type Watched interface {
	// Activity tells what they have done. It is cheap.
	Activity() (Activity, error)
	// Examine gathers what may tell a person why they do nothing: threads and
	// what they wait for, memory, connections. Keys are words, values those that
	// JSON knows. What cannot be found out is left out. It gives what it has when
	// ctx ends.
	Examine(ctx context.Context) map[string]any
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
	Limits     Limits   // what it may use; Start enforces all of it or returns *LimitError
	Apart      *Apart   // what it must not see; nil: it sees what creel sees
}

// Apart says what is hidden from an instance.
type Apart struct {
	Hide []string // absolute paths of folders and files; those that do not exist are passed over
	Keep []string // paths within hidden folders that it sees all the same
	// Required makes Start return *ApartError where that cannot be had; else the
	// instance then sees everything. While it cannot be found out, for want of
	// descriptors or the like, Start fails either way.
	Required bool
}

// Limits bounds what all processes of an instance together may use, OpenFiles
// each process. 0: no limit.
//
// They guard the machine, and creel, against a gateway that runs away. They are
// no sandbox: a process with the right to change its own limits (root, as a
// rule) can do so.
type Limits struct {
	Memory    int64 // bytes, swap included; on reaching it the kernel kills
	CPU       int   // percent of one core, so 150 is one core and a half
	PIDs      int   // processes and threads; on reaching it fork(2) fails with EAGAIN
	OpenFiles int   // file descriptors of one process; on reaching it open(2) fails with EMFILE
}

// Record is what is kept on disk about an instance. It identifies a process
// beyond doubt: a pid alone may have been used again, so its start time (field
// 22 of /proc/pid/stat, in clock ticks since boot) and the boot id
// (/proc/sys/kernel/random/boot_id) belong to it.
type Record struct {
	Version    int    `json:"version"`
	Gateway    string `json:"gateway"`
	Generation uint64 `json:"generation"`
	PID        int    `json:"pid"`
	StartTime  uint64 `json:"start_time"`
	BootID     string `json:"boot_id"`
	Cgroup     string `json:"cgroup,omitempty"` // directory of its cgroup; empty: none
	// LimitCgroups are the directories of its cgroups in other hierarchies, in
	// which its limits are set.
	LimitCgroups []string  `json:"limit_cgroups,omitempty"`
	Port         int       `json:"port"`
	Command      []string  `json:"command"` // secrets are never in arguments
	ConfigHash   string    `json:"config_hash"`
	StartedAt    time.Time `json:"started_at"`
	Host         string    `json:"host"`     // hash of /etc/machine-id or host name: a copied folder adopts nothing
	DataDir      string    `json:"data_dir"` // absolute path: likewise
}

// Exit tells how a main process ended.
type Exit struct {
	Known  bool           // false: an adopted process, whose status went to someone else
	Code   int            // exit code; meaningful if Known and Signal is 0
	Signal syscall.Signal // signal that killed it, or 0
	OOM    bool           // killed by the kernel for want of memory
	At     time.Time      // when the end was seen

	// MemoryLimit and PeakMemory are the limit in force and the most that all
	// processes of the instance have used at once, in bytes; 0: none, or not
	// known. Both are known only where the kernel counts for the instance alone.
	MemoryLimit int64
	PeakMemory  int64
}

// String says it in words, such as "exit code 78", "killed by SIGKILL" or
// "killed by the kernel: out of memory (limit 64 MiB, peak 64 MiB)".
func (e Exit) String() string {
	switch {
	case e.OOM:
		return "killed by the kernel: out of memory" + e.memory()
	case !e.Known:
		return "ended (exit status unknown)"
	case e.Signal != 0:
		return "killed by " + SignalName(e.Signal)
	default:
		return fmt.Sprintf("exit code %d", e.Code)
	}
}

// memory is " (limit …, peak …)" as far as they are known.
func (e Exit) memory() string {
	var known []string
	if e.MemoryLimit > 0 {
		known = append(known, "limit "+mebibytes(e.MemoryLimit))
	}
	if e.PeakMemory > 0 {
		known = append(known, "peak "+mebibytes(e.PeakMemory))
	}
	if known == nil {
		return ""
	}
	return " (" + strings.Join(known, ", ") + ")"
}

// mebibytes shows a size with at most one decimal.
func mebibytes(n int64) string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64), ".0") + " MiB"
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

// LimitError says that a limit cannot be enforced here. An instance is rather
// not started than started without it: a limit that silently does not hold is
// found out on the day that it is needed.
type LimitError struct {
	What string // as in config gateway.limits: "memory", "cpu", "pids" or "open_files"
	Why  string // what is in the way
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("cannot enforce the limit of %s: %s", e.What, e.Why)
}

// ApartError says that an instance cannot be kept apart here.
type ApartError struct{ Why string }

func (e *ApartError) Error() string {
	return "cannot hide creel's own files from the gateway: " + e.Why
}

// RecordError says that an instance record exists but cannot be trusted:
// corrupt, written by a newer creel, or from another machine or data folder.
type RecordError struct {
	Path   string
	Reason string
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("cannot use the instance record %s: %s", e.Path, e.Reason)
}
