package gateway

import (
	"fmt"
	"time"
)

// State is where a gateway stands.
type State string

// The states. See machine.go for what leads from one to the other; docs/states.md
// is printed from there.
const (
	Stopped   State = "stopped"   // no instance; nobody wants one yet, or somebody asked for none
	Restoring State = "restoring" // its state is being put in place; an instance is launched then
	Starting  State = "starting"  // an instance is being launched, or is not ready yet
	Ready     State = "ready"     // requests are passed on
	Suspect   State = "suspect"   // it refused a connection, or fell silent; requests wait while it is checked
	Draining  State = "draining"  // requests under way may end; new ones wait
	Stopping  State = "stopping"  // it was asked to end, or what it left behind is being cleared away
	Backoff   State = "backoff"   // a pause before the next start
	Failed    State = "failed"    // given up, until asked or configured anew
)

// States lists all states, in the order of a gateway's life.
var States = []State{Stopped, Restoring, Starting, Ready, Suspect, Draining, Stopping, Backoff, Failed}

// EventKind is the sort of an event that the machine takes.
type EventKind string

// The events.
const (
	Demand       EventKind = "demand"        // a request waits for the gateway
	AskStart     EventKind = "ask start"     // a person wants it to run
	AskStop      EventKind = "ask stop"      // a person, or creel's own end, wants it to stop
	AskRestart   EventKind = "ask restart"   // a person wants a new instance
	ConfigNew    EventKind = "config new"    // its configuration has changed
	LeaseLost    EventKind = "lease lost"    // another machine may run it soon, or does: it must not run here
	LeaseHeld    EventKind = "lease held"    // it may run here
	Found        EventKind = "found"         // at creel's start, or before a launch: a recorded instance is running
	FoundDead    EventKind = "found dead"    // at creel's start: a recorded instance has ended
	RestoreBegun EventKind = "restore begun" // the launch has to put the state in place first
	RestoreEnded EventKind = "restore ended" // it has done so, and goes on
	Launched     EventKind = "launched"      // its command runs
	LaunchFailed EventKind = "launch failed" // its command could not be run
	Answered     EventKind = "answered"      // the probe of this state holds
	Unanswered   EventKind = "unanswered"    // it does not, and its time is over
	Reported     EventKind = "reported"      // a lease holder could not connect
	Silent       EventKind = "silent"        // several signs say that it does not answer any more
	Exited       EventKind = "exited"        // the main process has ended
	Drained      EventKind = "drained"       // the last request under way has ended
	Gone         EventKind = "gone"          // nothing of the instance is left
	NotGone      EventKind = "not gone"      // something of it could not be ended
	TimeUp       EventKind = "time up"       // the timer of this state
)

// Event is something that happened. Events that tell of an instance carry its
// generation; results of waits carry the epoch in which the wait was begun.
// Those of another generation or epoch are dropped (I3).
type Event struct {
	Kind       EventKind
	Generation uint64    // Found, FoundDead, RestoreBegun, RestoreEnded, Launched, LaunchFailed, Reported, Exited, Gone, NotGone
	Shared     bool      // Found: a creel that drains may have requests with it
	Epoch      uint64    // Silent, Answered, Unanswered, Drained, TimeUp
	At         time.Time // when it happened
	Roll       float64   // a random number in [0,1), for jitter
	End        End       // LeaseLost: why it must not run; LaunchFailed, FoundDead, Unanswered, Exited: what came to an end, and why; NotGone: what is in the way; Silent: the signs; Answered: a remark, or none
	Served     bool      // Exited, Unanswered: the instance had answered a request
}

// End tells why an instance came to its end, or never began.
type End struct {
	Generation uint64    `json:"generation"`
	At         time.Time `json:"at"`
	Cause      Cause     `json:"cause"`
	Message    string    `json:"message"`             // one sentence, such as "it was killed by SIGKILL"
	Hint       string    `json:"hint,omitempty"`      // what a person can do about it
	Log        []string  `json:"log,omitempty"`       // its last output lines, redacted
	Permanent  bool      `json:"permanent,omitempty"` // starting it again cannot help
	Benign     bool      `json:"benign,omitempty"`    // it meant to end, to be started again
}

// Cause is the stable word for why an instance ended.
type Cause string

// The causes.
const (
	CauseExit           Cause = "exit_code"
	CauseSignal         Cause = "signal"
	CauseOOM            Cause = "oom"
	CauseUnknown        Cause = "unknown"         // an adopted instance: its exit status went elsewhere
	CausePortTaken      Cause = "port_taken"      // a stranger listens on its port
	CauseConfigRefused  Cause = "config_refused"  // it refuses its own configuration
	CauseCommand        Cause = "command"         // its command cannot be executed
	CauseLimits         Cause = "limits"          // a limit of what it may use cannot be enforced here
	CauseLaunch         Cause = "launch_failed"   // creel could not set it up
	CauseNotReady       Cause = "not_ready"       // it was not ready in time, and creel killed it
	CauseUnresponsive   Cause = "unresponsive"    // it refused connections for too long, and creel killed it
	CauseHang           Cause = "hang"            // it fell silent for too long, and creel killed it
	CauseRestore        Cause = "restore_failed"  // its state could not be put in place, and it is not started without
	CauseOwnedElsewhere Cause = "owned_elsewhere" // another machine runs it, or may
	CauseOwnerUnknown   Cause = "owner_unknown"   // it could not be shown that no other machine runs it
	CauseAsked          Cause = "asked"           // it ended because it was asked to
	CauseCreelAway      Cause = "creel_away"      // it ended while no creel watched
)

// Unowned tells whether the gateway does not run since it must not run here.
func (c Cause) Unowned() bool { return c == CauseOwnedElsewhere || c == CauseOwnerUnknown }

// EffectKind is the sort of an effect.
type EffectKind string

// The effects.
const (
	Launch     EffectKind = "launch"      // start an instance: Launched or LaunchFailed, or Found if one runs already
	CallOff    EffectKind = "call off"    // cancel a launch under way: LaunchFailed, or Launched if it is too late
	Watch      EffectKind = "watch"       // tell when the main process ends: Exited
	AwaitReady EffectKind = "await ready" // probe until ready: Answered or Unanswered
	Listen     EffectKind = "listen"      // tell when a ready instance falls silent: Silent
	Check      EffectKind = "check"       // probe a suspect: Answered or Unanswered
	Observe    EffectKind = "observe"     // wait for what becomes of a silent one: Answered or Unanswered
	Drain      EffectKind = "drain"       // wait for requests under way: Drained
	Terminate  EffectKind = "terminate"   // ask the instance to end: Exited
	Kill       EffectKind = "kill"        // end all that is left of it: Gone or NotGone
	Arm        EffectKind = "arm"         // set this state's timer: TimeUp
)

// Effect is something to be done. The machine only says what; the supervisor
// does it, in a goroutine of its own, and its result comes back as an event.
type Effect struct {
	Kind  EffectKind
	After time.Duration // Arm
}

// Then is what follows once an instance has been cleared away.
type Then string

// What may follow.
const (
	ThenRetry Then = "retry" // it ended by itself: start again as the policy allows
	ThenStart Then = "start" // start again at once
	ThenStop  Then = "stop"  // rest
	ThenYield Then = "yield" // wait until it may run here again
)

// Policy holds the durations and limits of a gateway's life.
type Policy struct {
	Drain       time.Duration // longest wait for requests under way
	Grace       time.Duration // from SIGTERM to kill
	SilentGrace time.Duration // the same for an instance that does not answer
	Stable      time.Duration // ready for this long: earlier fruitless instances are forgotten
	KillRetry   time.Duration // pause before killing again what did not end
	Delay       time.Duration // pause after the second fruitless instance in a row; doubles with each
	MaxDelay    time.Duration // longest pause
	Fruitless   int           // this many fruitless instances in a row: failed
	RetryFailed time.Duration // a crash-looping gateway is tried again after this; 0: never
}

// Pause is how long to wait before the next start after n fruitless instances
// in a row: nothing for the first, then Delay doubling up to MaxDelay, less up
// to a quarter of it by roll, a number in [0,1), so that gateways which fell
// together do not rise together.
func (p Policy) Pause(n int, roll float64) time.Duration {
	if n <= 1 {
		return 0
	}
	d := p.Delay
	for i := 2; i < n && d < p.MaxDelay; i++ {
		d *= 2
	}
	d = min(d, p.MaxDelay)
	return d - time.Duration(roll*float64(d)/4)
}

func (e Event) String() string {
	if e.Generation != 0 {
		return fmt.Sprintf("%s (generation %d)", e.Kind, e.Generation)
	}
	return string(e.Kind)
}
