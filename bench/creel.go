package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// creel is the contestant that all this is about.
type creel struct {
	binary string
	limits string // of its gateway, as in creel.yaml; empty: none
	hog    string // what its gateway takes all of: see hog.go; empty: nothing
	state  string // its gateway's state folder, which is saved when that is asked for; empty: it has none
}

// creelSettings leave all that bears on cost and speed at its default. The
// gateway here loses nothing by a quick end.
const creelSettings = `gateway:
  name: bench
  ready: {path: /readyz, timeout: 20s}
  stop: {drain: 0, grace: 2s}
`

func (creel) name() string { return "creel" }

func (c creel) start(ctx context.Context, b *bench, dir string, g gatewayOptions) (*standing, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "creel.yaml")
	if err := os.WriteFile(config, []byte(limitedSettings(c.limits)), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write its configuration: %w", err)
	}
	command := []string{c.binary, "run", "--config", config, "--data-dir", filepath.Join(dir, "data"), "--listen", addr}
	environ := withoutSettings(os.Environ())
	if c.state != "" {
		command, environ = append(command, "--state", c.state), append(environ, "CREEL_SNAPSHOTS_MODE=manual")
	}
	command = append(append(command, "--"), hogCommand(c.hog, g.command(b, dir))...)
	p, err := startChild(filepath.Join(dir, "output"), environ, command...)
	if err != nil {
		return nil, err
	}
	stop := func() error {
		// A creel that had to be killed has left its gateway alive, as it should.
		if err := p.terminate(10 * time.Second); err != nil {
			return errors.Join(err, killTagged(filepath.Clean(dir)))
		}
		return nil
	}
	if err := awaitAnswer(ctx, addr, p); err != nil {
		return nil, errors.Join(err, stop())
	}
	return &standing{addr: addr, pids: []int{p.pid()}, metrics: "/_creel/metrics", stop: stop}, nil
}

// withoutSettings leaves out the variables that would configure a creel.
func withoutSettings(environ []string) []string {
	var kept []string
	for _, v := range environ {
		if !strings.HasPrefix(v, "CREEL_") {
			kept = append(kept, v)
		}
	}
	return kept
}

// creelVersion asks a binary what it is.
func creelVersion(binary string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bootPatience)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "version").Output()
	if err != nil {
		return "", fmt.Errorf("cannot run %s: %w; build it with `make build`, or name one with -creel", binary, err)
	}
	return strings.TrimSpace(string(out)), nil
}
