package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// keptGateway is a gateway in a loop that starts it again as soon as it has ended:
// what a contestant has behind it that starts nothing by itself. It takes no time
// over it and looks at nothing, so no service manager is quicker.
type keptGateway struct {
	addr   string
	keeper *child
}

// keepGateway starts a gateway in a loop. The caller ends it with stop.
func (b *bench) keepGateway(dir string, g gatewayOptions) (keptGateway, error) {
	addr, err := freeAddr()
	if err != nil {
		return keptGateway{}, err
	}
	command := append([]string{b.self, roleKeeper}, g.command(b, dir)...)
	keeper, err := startChild(filepath.Join(dir, "gateway"), append(os.Environ(), "PORT="+portOf(addr)), command...)
	return keptGateway{addr: addr, keeper: keeper}, err
}

func (k keptGateway) stop() error { return k.keeper.terminate(bootPatience) }

// runKeeper is the role of the loop. It ends, and its gateway with it, by SIGTERM,
// or when its standard input ends.
func runKeeper(args []string) error {
	if len(args) == 0 {
		return errors.New("cannot do without a command")
	}
	runtime.LockOSThread() // the death of the thread that starts the gateway would be the gateway's
	over := make(chan os.Signal, 1)
	signal.Notify(over, syscall.SIGTERM, syscall.SIGINT)
	go func() { // ends with standard input, and with the process
		_, _ = io.Copy(io.Discard, os.Stdin) // however it ends, it has ended
		over <- syscall.SIGTERM
	}()
	for {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("cannot start the gateway: %w", err)
		}
		ended := make(chan struct{})
		go func() { // ends with the gateway
			_ = cmd.Wait() // how it ended is of no interest
			close(ended)
		}()
		select {
		case <-ended:
		case <-over:
			_ = cmd.Process.Kill() // it may have ended in this moment
			<-ended
			return nil
		}
	}
}
