package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"creel/internal/freeport"
)

// contestant is a proxy to put in front of a gateway. What is to be known of a
// kind of proxy (its command line, its configuration, its processes) is in its
// own file and nowhere else.
type contestant interface {
	// name is its column in the table.
	name() string
	// start starts the contestant with a gateway of its own behind it, and
	// returns when a request gets through. It may write into dir.
	start(ctx context.Context, b *bench, dir string, g gatewayOptions) (*standing, error)
}

// standing is a contestant that is up. stop must be called once.
type standing struct {
	name    string
	dir     string // its folder, and its gateway's tag
	addr    string // where clients connect
	pids    []int  // processes whose cost is the contestant's; the gateway is none of them
	metrics string // path of its Go runtime's counters, in the text format of Prometheus; empty: it has none
	stop    func() error
}

// bootPatience bounds the time in which a contestant and its gateway come up.
const bootPatience = 20 * time.Second

// stand starts contestants, each in a folder of its own. All of them are up, or
// none. The caller ends them with fall.
func (b *bench) stand(ctx context.Context, g gatewayOptions, cs ...contestant) ([]*standing, error) {
	var up []*standing
	for _, c := range cs {
		dir, err := os.MkdirTemp(b.dir, "contestant-")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot make a folder for %s: %w", c.name(), err), fall(up))
		}
		s, err := c.start(ctx, b, dir, g)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot start %s: %w", c.name(), err), fall(up))
		}
		s.name, s.dir = c.name(), dir
		up = append(up, s)
	}
	return up, nil
}

// fall stops contestants.
func fall(up []*standing) error {
	var errs []error
	for _, s := range up {
		if err := s.stop(); err != nil {
			errs = append(errs, fmt.Errorf("cannot stop %s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

// awaitAnswer asks until the gateway behind addr has answered, or patience or
// the process is at its end.
func awaitAnswer(ctx context.Context, addr string, p *child) error {
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := whoami(addr)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("it ended: %w; its output:\n%s", p.err, p.tail())
		case <-ctx.Done():
			return fmt.Errorf("no answer on %s: %w (%w); its output:\n%s", addr, err, context.Cause(ctx), p.tail())
		}
	}
}

// freeAddr is a loopback address that nobody listens on. Somebody else may take
// it before it is used; the start of whoever was to have it then fails.
func freeAddr() (string, error) {
	port, err := freeport.Find(nil)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// portOf is the port of an address that freeAddr gave.
func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr) // it was made by JoinHostPort
	return port
}

// gatewayOptions say how a gateway boots. The zero value is ready at once.
type gatewayOptions struct {
	boot    time.Duration // from its start until it is ready
	tooSoon bool          // it listens from the start, and answers 503 until it is ready
	ledger  bool          // it writes down what it does, in its tag's folder
	state   string        // folder of the state that it changes all the time; empty: none
}

// ledgerOf is the ledger of a gateway with that tag.
func ledgerOf(tag string) string { return filepath.Join(tag, "ledger") }

// command is the command line of a gateway. tag, which is a folder of this run,
// tells it from all other processes of the machine.
func (g gatewayOptions) command(b *bench, tag string) []string {
	command := []string{b.self, roleGateway, "-boot", g.boot.String(), "-too-soon=" + strconv.FormatBool(g.tooSoon), "-tag", filepath.Clean(tag)}
	if g.ledger {
		command = append(command, "-ledger", ledgerOf(tag))
	}
	if g.state != "" {
		command = append(command, "-state", g.state)
	}
	return command
}
