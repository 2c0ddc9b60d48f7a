package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// holding is a process that keeps idle WebSockets open.
type holding struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// holdPatience bounds the life of idle WebSockets, and with it the wait until
// they are open.
const holdPatience = 3 * time.Minute

// openIdle opens n WebSockets in a process of its own and returns when all are
// open. The caller ends it with release.
func (b *bench) openIdle(ctx context.Context, addr string, n int) (*holding, error) {
	ctx, cancel := context.WithTimeout(ctx, holdPatience)
	defer cancel()
	cmd := exec.Command(b.self, roleHold, addr, strconv.Itoa(n))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("cannot make a pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start a client: %w", err)
	}
	h := &holding{cmd: cmd, stdin: stdin}
	open := make(chan error, 1)
	go func() { // ends with the process at the latest
		_, err := bufio.NewReader(stdout).ReadString('\n')
		open <- err
	}()
	select {
	case err = <-open:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open %d WebSockets on %s: %w", n, addr, err), h.release())
	}
	return h, nil
}

// release closes the WebSockets. That one of them had been closed by the other
// side is an error.
func (h *holding) release() error {
	_ = h.stdin.Close() // if it is closed already, the process has ended
	err := h.cmd.Wait()
	if err != nil {
		return fmt.Errorf("the client with the idle WebSockets failed: %w", err)
	}
	return nil
}

// runHold is the role of the client with the idle WebSockets. It prints a line
// when they are open, and closes them when its standard input ends.
func runHold(args []string) error {
	if len(args) != 2 {
		return errors.New("cannot do without an address and a number")
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("cannot read the number: %w", err)
	}
	released := make(chan struct{})
	go func() { // ends with standard input, and with the process
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, it has ended
		close(released)
	}()
	return holdOpen(args[0], n, released, func() error {
		_, err := fmt.Println("open")
		return err
	})
}

// holdOpen opens n WebSockets, says so, and answers their pings until released
// is closed.
func holdOpen(addr string, n int, released <-chan struct{}, opened func() error) error {
	until := time.Now().Add(holdPatience)
	var wires []*wire
	var readers sync.WaitGroup
	lost := make(chan error, n)
	defer readers.Wait()
	defer func() {
		for _, w := range wires {
			_ = w.close() // it is only to end
		}
	}()
	for range n {
		w, err := dialWire(addr, until)
		if err != nil {
			return err
		}
		wires = append(wires, w)
		f, err := w.upgrade(addr)
		if err != nil {
			return err
		}
		readers.Go(func() {
			_, err := f.next()
			if err == nil {
				err = errors.New("a message came, where none was sent")
			}
			lost <- err
		})
	}
	if err := opened(); err != nil {
		return err
	}
	select {
	case <-released:
		return nil
	case err := <-lost:
		return fmt.Errorf("an idle WebSocket was lost: %w", err)
	}
}
