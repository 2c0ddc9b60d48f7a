package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// child is a process that this one has started.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer // closing it asks a role to end
	log   string    // file with its output; empty: standard output is the caller's
	ended chan struct{}
	err   error // how it ended; to be read after ended is closed
}

// startChild starts a process. It is in a session of its own: a terminal's
// Ctrl-C reaches only this process, which then ends the others in good order;
// and where the kernel shares the processor out by session (sched(7), "The
// autogroup feature"), all parties are treated alike, since creel too gives its
// gateway a session. What it prints goes to the file log.
func startChild(log string, environ []string, command ...string) (*child, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the output of %s: %w", command[0], err)
	}
	defer out.Close() // the child has its own
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = environ
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c := &child{cmd: cmd, log: log, ended: make(chan struct{})}
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("cannot make a pipe to %s: %w", command[0], err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", command[0], err)
	}
	go func() { // ends with the process
		c.err = cmd.Wait()
		if c.err == nil {
			c.err = errors.New("exit status 0")
		}
		close(c.ended)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill ends a process that has nothing to put in order.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	<-c.ended // a killed process ends
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// terminate asks a process to end. One that does not within patience is killed,
// and that is an error.
func (c *child) terminate(patience time.Duration) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(err, c.kill())
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c.ended:
		return nil
	case <-late.C:
		return errors.Join(fmt.Errorf("pid %d did not end within %v of SIGTERM; its output:\n%s", c.pid(), patience, c.tail()), c.kill())
	}
}

// tail gives the last lines of the output.
func (c *child) tail() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	const enough = 2000
	if len(b) > enough {
		b = b[len(b)-enough:]
	}
	return strings.TrimSpace(string(b))
}

// killTagged kills the processes whose command line has the tag, which is the
// path of a folder of this run: what a contestant has left behind.
func killTagged(tag string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("cannot look for processes left behind: %w", err)
	}
	var errs []error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err != nil { // it has ended
			continue
		}
		if bytes.Contains(line, []byte("\x00-tag\x00"+tag+"\x00")) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("cannot kill pid %d, which was left behind: %w", pid, err))
			}
		}
	}
	return errors.Join(errs...)
}
