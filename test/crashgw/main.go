package crashgw

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"syscall"
	"time"
)

// marker is the first argument of an executable that is to act as crashgw.
const marker = "crashgw"

// RunIfAsked acts as crashgw and does not return if the executable was called
// with the arguments that Command gives. Call it at the top of TestMain, before
// flags are parsed.
func RunIfAsked() {
	if len(os.Args) > 1 && os.Args[1] == marker {
		os.Exit(run(os.Args[2:], os.Environ()))
	}
}

// Main is crashgw as a program: it reads os.Args and does not return.
func Main() {
	os.Exit(run(os.Args[1:], os.Environ()))
}

// Command gives the command line that makes the current executable act as
// crashgw; the executable must call RunIfAsked. With o.Port 0 the port comes
// from $PORT. It panics if o is contradictory or the executable has no path:
// both are mistakes in a test.
func Command(o Options) []string {
	if err := o.validate(); err != nil {
		panic("crashgw.Command: " + err.Error())
	}
	exe, err := os.Executable()
	if err != nil {
		panic("crashgw.Command: cannot find the path of the executable: " + err.Error())
	}
	return append([]string{exe, marker}, o.args()...)
}

// run is one life of the process; its result is the exit code. Most lives end
// elsewhere, in server.die.
func run(args, environ []string) int {
	started := time.Now()
	logger := log.New(os.Stdout, fmt.Sprintf("crashgw[%d]: ", os.Getpid()), 0)
	opts, err := ParseOptions(args, environ, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "crashgw:", strings.ReplaceAll(err.Error(), "\n", "; "))
		return ExitUsage
	}
	s, err := newServer(opts, logger)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crashgw:", err)
		return 1
	}
	s.watchSIGTERM()
	if opts.asOrphan != OrphanNone {
		err = s.runOrphan()
	} else {
		err = s.live(started)
	}
	fmt.Fprintln(os.Stderr, "crashgw:", err)
	if errors.Is(err, syscall.EADDRINUSE) {
		return ExitPortTaken
	}
	return 1
}

// live boots and serves. It returns only if that cannot go on.
func (s *server) live(started time.Time) error {
	if s.opts.ExitAfter > 0 {
		time.AfterFunc(time.Until(started.Add(s.opts.ExitAfter)), func() {
			s.die(death{code: s.opts.exitCode(), why: "--exit-after"})
		})
	}
	if s.opts.LogFlood > 0 {
		go s.flood(s.opts.LogFlood)
	}
	bootLeft := time.Until(started.Add(s.opts.BootDelay))
	if s.opts.BootDelay == 0 {
		bootLeft = 0
	}
	if s.state != nil {
		go s.changeState()
	}
	if !s.opts.ListenEarly {
		wait(bootLeft)
		bootLeft = 0
		if s.opts.ExitBeforeReady {
			s.die(death{code: s.opts.exitCode(), why: "--exit-before-ready"})
		}
	}
	if err := s.port.open(context.Background()); err != nil {
		return err
	}
	if s.opts.Orphan != OrphanNone {
		if err := s.leaveOrphan(); err != nil {
			return err
		}
	}
	s.log.Printf("listening on %s", s.port.addr)
	if bootLeft > 0 || s.opts.ExitBeforeReady {
		time.AfterFunc(bootLeft, s.bootEnds)
	} else {
		s.bootEnds()
	}
	return s.serve()
}

// bootEnds makes the server ready, or does not.
func (s *server) bootEnds() {
	if s.opts.ExitBeforeReady {
		s.die(death{code: s.opts.exitCode(), why: "--exit-before-ready"})
	}
	s.ready.Store(true)
	s.log.Print("ready")
}

// wait blocks for d. It is for the process's own timetable, which only the end
// of the process cuts short; waits for a client have a context.
func wait(d time.Duration) {
	if d > 0 {
		time.Sleep(d)
	}
}
