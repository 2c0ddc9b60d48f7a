package crashgw

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// File descriptors that an orphan inherits.
const (
	orphanListenerFD = 3 // the listening socket
	orphanLifelineFD = 4 // a pipe that ends when the parent is dead
)

// leaveOrphan starts the child that will survive this process: in a session of
// its own, holding the listening socket, and out of reach of a signal to the
// process group. It stays in the cgroup. The pipe's writing end is in this
// process alone, so that its death, however it dies, is seen at once.
func (s *server) leaveOrphan() (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot leave an orphan: %w", err)
		}
	}()
	s.port.mu.Lock()
	ln := s.port.ln.(*net.TCPListener)
	s.port.mu.Unlock()
	socket, err := ln.File()
	if err != nil {
		return err
	}
	defer socket.Close()
	lifeline, mine, err := os.Pipe()
	if err != nil {
		return err
	}
	defer lifeline.Close()

	argv := Command(s.opts.forOrphan())
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = []*os.File{socket, lifeline}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// Handing the socket over makes it blocking (os.File.Fd), for the parent
	// too, until the child has it in its poller: an Accept may then hold a
	// thread, which does no harm.
	if err := cmd.Start(); err != nil {
		return errors.Join(err, mine.Close())
	}
	s.orphanPID = cmd.Process.Pid
	go func() {
		state, err := cmd.Process.Wait() // no zombie, should it die first
		s.log.Printf("the orphan has ended: %v %v", state, err)
		_ = mine.Close() // held open until now; nobody listens any more
	}()
	return nil
}

// forOrphan gives the switches that its child has: those of a gateway that
// works, so that what an orphan answers is its being there, and nothing else.
func (o Options) forOrphan() Options {
	return Options{
		Port:          o.Port,
		IgnoreSIGTERM: o.IgnoreSIGTERM,
		OrphanFor:     o.OrphanFor,
		Ledger:        o.Ledger,
		asOrphan:      o.Orphan,
	}
}

// runOrphan is the life of the child: nothing until the parent is dead, then
// what its kind says, for a bounded time, lest a test leave processes behind.
func (s *server) runOrphan() error {
	socket := os.NewFile(orphanListenerFD, "listener")
	lifeline := os.NewFile(orphanLifelineFD, "lifeline")
	ln, err := net.FileListener(socket)
	if err != nil {
		return fmt.Errorf("cannot use the inherited socket: %w", err)
	}
	if err := socket.Close(); err != nil { // ln has a copy
		return fmt.Errorf("cannot close the inherited socket: %w", err)
	}
	s.log.Print("holding the socket until the parent's death")
	if _, err := io.Copy(io.Discard, lifeline); err != nil {
		return fmt.Errorf("cannot wait for the parent's death: %w", err)
	}
	s.log.Printf("orphaned; going to %s on %s", s.opts.asOrphan, s.port.addr)
	lifetime := s.opts.OrphanFor
	if lifetime == 0 {
		lifetime = defaultOrphanFor
	}
	if s.opts.asOrphan == OrphanHold {
		wait(lifetime)
		s.die(death{why: "--orphan-for"})
	}
	time.AfterFunc(lifetime, func() { s.die(death{why: "--orphan-for"}) })
	s.ready.Store(true)
	s.port.use(ln)
	return s.serve()
}
