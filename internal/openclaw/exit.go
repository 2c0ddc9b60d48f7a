package openclaw

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"

	"creel/internal/openclaw/rpc"
	"creel/internal/runtime"
)

// Cause says in words why an instance ended.
type Cause struct {
	Cause   string // a stable word, one of the constants below
	Message string // one sentence for a person, without a full stop
	Hint    string // the next step; empty: there is none
	// Permanent is true if another start will fail in the same way until a
	// person has changed something.
	Permanent bool
}

// The causes.
const (
	CauseConfigRefused = "config_refused" // exit code 78: OpenClaw does not start with this configuration
	CauseStateInUse    = "state_in_use"   // exit code 78: another process uses the state folder
	CauseSelfRestart   = "self_restart"   // exit code 0: OpenClaw wants to be started again
	CauseStopped       = "stopped"        // exit code 0: someone sent it SIGTERM or SIGINT
	CausePortTaken     = "port_taken"     // exit code 1: another process listens on its port
	CauseHeapExhausted = "heap_exhausted" // SIGABRT: JavaScript ran out of heap
	CauseOOM           = "oom"            // killed by the kernel for want of memory
	CauseSignal        = "signal"         // any other signal
	CauseExitCode      = "exit_code"      // any other exit code
	CauseUnknown       = "unknown"        // adopted: its exit status went to someone else
)

// exitConfig is EX_CONFIG of sysexits.h, by which OpenClaw says that a restart
// will not help.
const exitConfig = 78

// ExitCause says why an instance ended that was not asked to. logTail holds the
// last lines of this instance's output, oldest first; about 40 do. Message quotes
// them only where OpenClaw names a file, a key or a process.
//
// If the exit status is not known (an adopted instance), the output alone
// decides, and Permanent stays false: a line may be older than the end.
func ExitCause(exit runtime.Exit, logTail []string) Cause {
	log := plain(logTail)
	switch {
	case exit.OOM:
		return Cause{
			Cause:   CauseOOM,
			Message: "OpenClaw was killed by the kernel because memory ran out",
			Hint:    "give it more memory (it needs about 1.1 GB), or stop other programs",
		}
	case !exit.Known:
		return unknownCause(exit, log)
	case exit.Signal == syscall.SIGABRT && log.has(markHeap):
		return heapCause()
	case exit.Signal != 0:
		return Cause{Cause: CauseSignal, Message: "OpenClaw was killed by " + runtime.SignalName(exit.Signal)}
	case exit.Code == exitConfig:
		return configCause(log)
	case exit.Code == 0:
		return cleanCause(log)
	case exit.Code == 1 && log.has(markPort):
		return portCause(log)
	default:
		return Cause{
			Cause:   CauseExitCode,
			Message: fmt.Sprintf("OpenClaw ended with exit code %d", exit.Code),
			Hint:    `see its output: "creel logs"`,
		}
	}
}

// ExplainExit is ExitCause for an instance that creel was talking to: what it
// said before it ended decides between a restart of its own and a stop, also where
// the exit status is not known and where its last lines were cut off. A farewell
// that was followed by another end than exit code 0 (it was killed while it
// stopped) explains nothing.
func ExplainExit(exit runtime.Exit, logTail []string, farewell rpc.Farewell) Cause {
	c := ExitCause(exit, logTail)
	if !farewell.Said() || exit.OOM || exit.Known && (exit.Signal != 0 || exit.Code != 0) {
		return c
	}
	log := plain(logTail)
	if farewell.Restarts() {
		return restartCause(log)
	}
	return stopCause()
}

// What OpenClaw 2026.9.6 writes in each case.
const (
	markHeap        = "JavaScript heap out of memory"
	markPort        = "EADDRINUSE"
	markStateInUse  = "another OpenClaw process owns gateway-lifecycle"
	markInvalid     = "Invalid config at "
	markMissingMode = "existing config is missing gateway.mode"
	markMissing     = "Missing config."
	markRestart     = "restart mode: full process restart"
	markSignal      = "[gateway] received SIG"
	markReason      = "[admission] closed: restart (SIGUSR2: "
)

func configCause(log tail) Cause {
	c := Cause{
		Cause:     CauseConfigRefused,
		Message:   "OpenClaw does not start with its present configuration (exit code 78)",
		Hint:      `see its output ("creel logs"), correct openclaw.json, then "creel restart"`,
		Permanent: true,
	}
	switch {
	case log.has(markStateInUse):
		// Its text speaks of a state migration and of "openclaw doctor --fix",
		// which would change the state under the one that is using it.
		c.Cause = CauseStateInUse
		c.Message = "OpenClaw did not start because another OpenClaw process uses the same state folder (its own text about a migration is misleading)"
		c.Hint = `end the other process (a gateway or an "openclaw" command that uses this folder), then "creel restart"; do not run "openclaw doctor --fix" meanwhile`
	case log.has(markInvalid):
		c.Message = "OpenClaw refuses its configuration: " + log.problem()
	case log.has(markMissingMode):
		c.Message = "OpenClaw refuses its configuration: openclaw.json cannot be read as JSON5, or has no gateway.mode"
		c.Hint = `correct openclaw.json, or put back openclaw.json.creel.bak beside it, then "creel restart"`
	case log.has(markMissing):
		c.Message = "OpenClaw does not start because openclaw.json is missing"
		c.Hint = `"creel restart" writes a new one`
	}
	return c
}

func cleanCause(log tail) Cause {
	restart, signal := log.last(markRestart), log.last(markSignal)
	if signal > restart && !strings.Contains(log[signal], "restarting") {
		return stopCause()
	}
	return restartCause(log)
}

func stopCause() Cause {
	return Cause{
		Cause:   CauseStopped,
		Message: "OpenClaw ended in good order because someone other than creel sent it a signal",
	}
}

// restartCause tells of a restart that OpenClaw wanted, and why as far as it says:
// "[admission] closed: restart (SIGUSR2: config change)".
func restartCause(log tail) Cause {
	why := "a change of its configuration, an update of a plug-in, or a request from the Control UI"
	if i := log.last(markReason); i >= 0 {
		_, reason, _ := strings.Cut(log[i], markReason)
		why = "it says: " + strings.TrimSuffix(strings.TrimSpace(reason), ")")
	}
	return Cause{Cause: CauseSelfRestart, Message: "OpenClaw ended in order to be started again (" + why + ")"}
}

func portCause(log tail) Cause {
	c := Cause{
		Cause:   CausePortTaken,
		Message: "OpenClaw could not listen because another process has its port",
		Hint:    "end that process, or give the gateway another port",
	}
	if i := log.last("- pid "); i >= 0 {
		_, holder, _ := strings.Cut(log[i], "- pid ")
		c.Message += ": pid " + holder
	}
	return c
}

func heapCause() Cause {
	return Cause{
		Cause:   CauseHeapExhausted,
		Message: "OpenClaw ran out of JavaScript heap",
		Hint:    "set NODE_OPTIONS=--max-old-space-size=<MiB> in the gateway's env, or find out which plug-in or session takes the memory",
	}
}

func unknownCause(exit runtime.Exit, log tail) Cause {
	var c Cause
	switch {
	case log.has(markHeap):
		c = heapCause()
	case log.last(markRestart) >= 0:
		c = cleanCause(log)
	default:
		return Cause{Cause: CauseUnknown, Message: "OpenClaw " + exit.String()}
	}
	c.Permanent = false
	return c
}

// tail is the end of an instance's output, without colours.
type tail []string

// ansi is a control sequence that sets colours (ECMA-48, SGR). OpenClaw writes
// them, to a file too, if TERM or FORCE_COLOR is set, which a person may do.
var ansi = regexp.MustCompile("\x1b\\[[0-9;]*m")

func plain(lines []string) tail {
	t := make(tail, len(lines))
	for i, line := range lines {
		t[i] = ansi.ReplaceAllString(line, "")
	}
	return t
}

// last is the index of the last line that contains mark, or -1.
func (t tail) last(mark string) int {
	for i := len(t) - 1; i >= 0; i-- {
		if strings.Contains(t[i], mark) {
			return i
		}
	}
	return -1
}

func (t tail) has(mark string) bool { return t.last(mark) >= 0 }

// problem is what follows "Invalid config at <path>:", up to the advice: one
// line per offending key, or the rest of the line itself.
func (t tail) problem() string {
	i := t.last(markInvalid)
	_, rest, _ := strings.Cut(t[i], markInvalid)
	parts := []string{strings.TrimSuffix(rest, ":")}
	for _, line := range t[i+1:] {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "Run ") || len(parts) > 4 {
			break
		}
		parts = append(parts, line)
	}
	return strings.Join(parts, "; ")
}
