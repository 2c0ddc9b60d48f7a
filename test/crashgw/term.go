package crashgw

import (
	"os"
	"os/signal"
	"syscall"
)

// watchSIGTERM arranges what --ignore-sigterm and --slow-term say. Without them
// SIGTERM ends the process at once with code 0, like a gateway that has nothing
// to wind up. While --slow-term runs, further ones change nothing.
func (s *server) watchSIGTERM() {
	if s.opts.IgnoreSIGTERM {
		signal.Ignore(syscall.SIGTERM)
		return
	}
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	go func() {
		<-c
		s.draining.Store(true)
		if s.opts.SlowTerm > 0 {
			s.log.Printf("SIGTERM: ending in %v", s.opts.SlowTerm)
			wait(s.opts.SlowTerm)
		}
		s.die(death{why: "SIGTERM"})
	}()
}
