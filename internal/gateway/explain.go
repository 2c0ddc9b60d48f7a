package gateway

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"creel/internal/runtime"
)

// Explain says in words how an instance ended, as far as its exit tells.
func Explain(exit runtime.Exit, log []string) End {
	end := End{At: exit.At, Message: "it ended: " + exit.String(), Log: log}
	switch {
	case exit.OOM:
		end.Cause, end.Hint = CauseOOM, "It needs more memory than it may have: raise its limit (gateway.limits.memory), or give the machine more."
	case !exit.Known:
		end.Cause = CauseUnknown
		end.Message = "it ended; how is not known, since an earlier creel had started it"
	case exit.Signal != 0:
		end.Cause = CauseSignal
		if exit.Signal == syscall.SIGKILL {
			end.Hint = "Somebody else than creel killed it: a person, a script, or the kernel for want of memory (see `dmesg`)."
		}
	default:
		end.Cause = CauseExit
	}
	return end
}

// PlanError is an error of Plan that says more than its text.
type PlanError struct {
	Cause     Cause
	Hint      string
	Permanent bool
	Err       error
}

func (e *PlanError) Error() string { return e.Err.Error() }
func (e *PlanError) Unwrap() error { return e.Err }

// launchEnd is the end of an instance that could not be started. calledOff:
// creel itself gave the launch up.
func launchEnd(generation uint64, err error, calledOff bool) End {
	end := End{Generation: generation, At: time.Now(), Cause: CauseLaunch, Message: err.Error(), Hint: "See `creel doctor`."}
	var (
		taken   *runtime.PortTakenError
		command *runtime.CommandError
		limit   *runtime.LimitError
		plan    *PlanError
	)
	switch {
	case calledOff:
		end.Cause, end.Message, end.Hint, end.Benign = CauseAsked, "the start was called off", "", true
	case errors.As(err, &taken):
		end.Cause = CausePortTaken
		end.Hint = "Stop that program, or give the gateway another port (gateway.port)."
		if taken.PID != 0 {
			end.Hint = fmt.Sprintf("Stop that program (`kill %d`), or give the gateway another port (gateway.port).", taken.PID)
		}
	case errors.As(err, &command) && errors.Is(command.Err, syscall.ETXTBSY): // until it is written
		end.Cause, end.Hint = CauseCommand, "The program is being written; it is tried again."
	case errors.As(err, &command):
		end.Cause, end.Permanent = CauseCommand, true
		end.Hint = "Correct gateway.command, then `creel restart`."
	case errors.As(err, &limit):
		end.Cause, end.Permanent = CauseLimits, true
		end.Hint = fmt.Sprintf("Remove or change gateway.limits.%s, or let creel enforce it: %s. Then `creel restart`.", limit.What, remedy(limit.What))
	case errors.As(err, &plan):
		end.Cause, end.Hint, end.Permanent = plan.Cause, plan.Hint, plan.Permanent
	}
	return end
}

// remedy says what lets creel enforce a limit.
func remedy(what string) string {
	if what == "open_files" {
		return "raise creel's own limit (LimitNOFILE= in its systemd unit, or `ulimit -Hn`)"
	}
	return "run it as root, or as a systemd service with Delegate=yes and DelegateSubgroup=supervisor"
}
