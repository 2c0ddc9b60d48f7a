package crashgw

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// CleanExit is the value of Options.ExitCode that means exit code 0.
const CleanExit = -1

// Exit codes of crashgw that no switch asks for.
const (
	ExitUsage     = 2  // a switch is wrong
	ExitPortTaken = 98 // the port is in use (the number of EADDRINUSE on Linux)
)

// defaultOrphanFor bounds the life of an orphan that nobody kills.
const defaultOrphanFor = time.Minute

// Orphan says what the child left behind does with the listening socket once
// its parent is dead.
type Orphan string

// The kinds of orphan.
const (
	OrphanNone  Orphan = ""
	OrphanServe Orphan = "serve" // it answers as the gateway would, with its own pid
	OrphanHold  Orphan = "hold"  // connections succeed (backlog), nothing is answered
)

// Options are the switches of a process. The zero value is a gateway that
// works. The package comment says what each one does.
type Options struct {
	Port      int           // 0: from the environment ($CRASHGW_PORT, $PORT)
	BootDelay time.Duration // 0: listens at once

	ListenEarly     bool
	ExitCode        int           // 1–255; 0 means 1, CleanExit means 0
	ExitAfter       time.Duration // 0: never
	ExitBeforeReady bool
	ExitIf          string // path; the process exits instead of getting ready if there is such a file
	IgnoreSIGTERM   bool
	SlowTerm        time.Duration
	Orphan          Orphan
	OrphanFor       time.Duration // 0: one minute
	LogFlood        int           // bytes per second; 0: none

	DieAfterRequests       int // 0: never
	FirstRequestKills      bool
	FirstRequestKillsTimes string // path of a file that holds a number
	Ledger                 string // path; empty: /item is refused
	Store                  string // path; empty: /store is refused
	Lives                  string // path; empty: lives are not recorded

	State      string        // path of a folder; empty: none
	StateEvery time.Duration // pause between two transactions; 0: none

	// asOrphan is set in the child that OrphanServe and OrphanHold start.
	asOrphan Orphan
}

// bind declares one flag per option, with the present values as defaults.
func (o *Options) bind(fs *flag.FlagSet) {
	fs.IntVar(&o.Port, "port", o.Port, "port on 127.0.0.1")
	fs.DurationVar(&o.BootDelay, "boot-delay", o.BootDelay, "time before anything listens")
	fs.BoolVar(&o.ListenEarly, "listen-early", o.ListenEarly, "listen during the boot delay, answer 503")
	fs.Var((*exitCodeValue)(&o.ExitCode), "exit-code", "code of the exits by switch")
	fs.DurationVar(&o.ExitAfter, "exit-after", o.ExitAfter, "exit so long after the start")
	fs.BoolVar(&o.ExitBeforeReady, "exit-before-ready", o.ExitBeforeReady, "exit instead of getting ready")
	fs.StringVar(&o.ExitIf, "exit-if", o.ExitIf, "exit instead of getting ready if there is this file")
	fs.BoolVar(&o.IgnoreSIGTERM, "ignore-sigterm", o.IgnoreSIGTERM, "ignore SIGTERM")
	fs.DurationVar(&o.SlowTerm, "slow-term", o.SlowTerm, "time to end after SIGTERM")
	fs.Var((*orphanValue)(&o.Orphan), "orphan", "leave a child behind: serve or hold")
	fs.DurationVar(&o.OrphanFor, "orphan-for", o.OrphanFor, "how long the orphan outlives the parent")
	fs.IntVar(&o.LogFlood, "log-flood", o.LogFlood, "bytes per second of log")
	fs.IntVar(&o.DieAfterRequests, "die-after-requests", o.DieAfterRequests, "answer so many, then exit")
	fs.BoolVar(&o.FirstRequestKills, "first-request-kills", o.FirstRequestKills, "answer the first request 500 and exit")
	fs.StringVar(&o.FirstRequestKillsTimes, "first-request-kills-times-file", o.FirstRequestKillsTimes,
		"file that says how many processes do so")
	fs.StringVar(&o.Ledger, "ledger", o.Ledger, "file that records what was executed")
	fs.StringVar(&o.State, "state", o.State, "folder of a state that changes all the time")
	fs.DurationVar(&o.StateEvery, "state-every", o.StateEvery, "pause between two changes of the state")
	fs.StringVar(&o.Store, "store", o.Store, "file that holds the state")
	fs.StringVar(&o.Lives, "lives", o.Lives, "file that records the starts and ends of processes")
	fs.Var((*orphanValue)(&o.asOrphan), asOrphanFlag, "internal: this process is the orphan")
}

// asOrphanFlag is how a parent tells its child what it is. It is not for users.
const asOrphanFlag = "as-orphan"

// ParseOptions reads the switches from command-line arguments (without the
// program's name) and from an environment in the form of os.Environ. Flags win
// over variables. A CRASHGW_ variable that is no switch is an error, like an
// unknown flag: a misspelt switch must not make a test pass. The error is
// flag.ErrHelp if help was asked for; the help text goes to usage.
func ParseOptions(args, environ []string, usage io.Writer) (Options, error) {
	var o Options
	fs := flag.NewFlagSet("crashgw", flag.ContinueOnError)
	fs.SetOutput(usage)
	o.bind(fs)
	if err := fromEnvironment(fs, environ); err != nil {
		return Options{}, err
	}
	if err := fs.Parse(args); err != nil {
		return Options{}, err
	}
	if fs.NArg() > 0 {
		return Options{}, fmt.Errorf("cannot use argument %q: crashgw takes flags only", fs.Arg(0))
	}
	return o, o.validate()
}

func fromEnvironment(fs *flag.FlagSet, environ []string) error {
	const prefix = "CRASHGW_"
	plain := "" // $PORT, which $CRASHGW_PORT overrules
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if name == "PORT" {
			plain = value
		}
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		flagName := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, prefix)), "_", "-")
		if err := fs.Set(flagName, value); err != nil {
			return fmt.Errorf("cannot use %s=%q: %w", name, value, err)
		}
	}
	if plain == "" || fs.Lookup("port").Value.String() != "0" {
		return nil
	}
	if err := fs.Set("port", plain); err != nil {
		return fmt.Errorf("cannot use PORT=%q: %w", plain, err)
	}
	return nil
}

func (o Options) validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{
		"boot-delay": o.BootDelay, "exit-after": o.ExitAfter, "slow-term": o.SlowTerm, "orphan-for": o.OrphanFor,
		"state-every": o.StateEvery,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("cannot use --%s %v: it must not be negative", name, d))
		}
	}
	for name, n := range map[string]int{"log-flood": o.LogFlood, "die-after-requests": o.DieAfterRequests} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("cannot use --%s %d: it must not be negative", name, n))
		}
	}
	if o.Port < 0 || o.Port > 65535 {
		errs = append(errs, fmt.Errorf("cannot use --port %d: ports are 1 to 65535", o.Port))
	}
	if o.StateEvery > 0 && o.State == "" {
		errs = append(errs, errors.New("cannot use --state-every without --state"))
	}
	if o.IgnoreSIGTERM && o.SlowTerm > 0 {
		errs = append(errs, errors.New("cannot use --slow-term together with --ignore-sigterm: choose one"))
	}
	return errors.Join(errs...)
}

// args gives the flags that make ParseOptions return o.
func (o Options) args() []string {
	var bound Options
	fs := flag.NewFlagSet("crashgw", flag.ContinueOnError)
	bound.bind(fs) // the defaults are now the zero values …
	bound = o      // … and the values are ours
	var args []string
	fs.VisitAll(func(f *flag.Flag) {
		if v := f.Value.String(); v != f.DefValue {
			args = append(args, "--"+f.Name+"="+v)
		}
	})
	return args
}

// exitCode is the code of the exits by switch.
func (o Options) exitCode() int {
	switch o.ExitCode {
	case 0:
		return 1
	case CleanExit:
		return 0
	default:
		return o.ExitCode
	}
}

// exitCodeValue is Options.ExitCode as a flag, where 0 is 0.
type exitCodeValue int

func (v *exitCodeValue) String() string {
	if v == nil || *v == 0 {
		return ""
	}
	if *v == CleanExit {
		return "0"
	}
	return strconv.Itoa(int(*v))
}

func (v *exitCodeValue) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 255 {
		return errors.New("exit codes are 0 to 255")
	}
	if n == 0 {
		n = CleanExit
	}
	*v = exitCodeValue(n)
	return nil
}

// orphanValue is an Orphan as a flag that may stand without a value.
type orphanValue Orphan

func (v *orphanValue) IsBoolFlag() bool { return true }

func (v *orphanValue) String() string {
	if v == nil {
		return ""
	}
	return string(*v)
}

func (v *orphanValue) Set(s string) error {
	switch s {
	case "true", string(OrphanServe):
		*v = orphanValue(OrphanServe)
	case string(OrphanHold):
		*v = orphanValue(OrphanHold)
	case "false":
		*v = ""
	default:
		return errors.New("choose serve or hold")
	}
	return nil
}
