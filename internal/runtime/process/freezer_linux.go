package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// freezerV2 freezes a cgroup v2 and all beneath it: cgroup.freeze in
// https://docs.kernel.org/admin-guide/cgroup-v2.html ("Core Interface Files").
// SIGKILL ends a frozen process all the same.
type freezerV2 struct{ dir string }

func (f freezerV2) freeze(ctx context.Context) error {
	return freezeError(f.dir, f.hold(ctx))
}

func (f freezerV2) hold(ctx context.Context) error {
	if err := writeControl(f.dir, "cgroup.freeze", "1"); err != nil {
		return err
	}
	events, err := os.Open(filepath.Join(f.dir, "cgroup.events"))
	if err != nil {
		return err
	}
	defer events.Close()
	buf := make([]byte, 256)
	// The file wakes pollers, but not more than once in 10 ms, which is half of
	// what a whole snapshot may take; so it is read again instead.
	for wait := statePause / 4; ; wait = min(2*wait, maxStatePause) {
		n, err := events.ReadAt(buf, 0)
		if n == 0 {
			return err
		}
		if frozen, ok := field(buf[:n], "frozen"); ok && frozen == 1 {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (f freezerV2) thaw() error { return thawError(f.dir, writeControl(f.dir, "cgroup.freeze", "0")) }

func (f freezerV2) frozen() (bool, error) { return readFlag(f.dir, "cgroup.freeze") }

// freezerState is the control file of the v1 freezer hierarchy:
// https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html.
const freezerState = "freezer.state"

// freezerV1 freezes a cgroup of the v1 freezer hierarchy and all beneath it. A
// process that is frozen so does not even die by SIGKILL before it is thawed.
type freezerV1 struct{ dir string }

// statePause is how long to wait between two looks at what has no event: the v1
// freezer has none, nor has a process that is being stopped. A freeze takes less
// than this as a rule; if not, the pauses grow.
const (
	statePause    = 200 * time.Microsecond
	maxStatePause = time.Millisecond
)

func (f freezerV1) freeze(ctx context.Context) error {
	return freezeError(f.dir, f.hold(ctx))
}

func (f freezerV1) hold(ctx context.Context) error {
	for wait := statePause / 4; ; wait = min(2*wait, maxStatePause) {
		// Written again each time: FREEZING takes hold of what was forked since.
		if err := writeControl(f.dir, freezerState, "FROZEN"); err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(f.dir, freezerState))
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(data)) == "FROZEN" {
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (f freezerV1) thaw() error { return thawError(f.dir, writeControl(f.dir, freezerState, "THAWED")) }

func (f freezerV1) frozen() (bool, error) { return readFlag(f.dir, "freezer.self_freezing") }

func freezeError(dir string, err error) error {
	if err != nil {
		return fmt.Errorf("cannot freeze cgroup %s: %w", dir, err)
	}
	return nil
}

// thawError lets pass that there is no such cgroup, or none any more.
func thawError(dir string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("cannot thaw cgroup %s: %w", dir, err)
}

// readFlag reads a control file that holds 0 or 1; that of no cgroup is 0.
func readFlag(dir, file string) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return false, nil
	}
	return strings.TrimSpace(string(data)) == "1", err
}
