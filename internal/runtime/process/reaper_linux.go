package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// reaperWake asks a running Reap to look again.
var reaperWake = make(chan struct{}, 1)

func wakeReaper() {
	select {
	case reaperWake <- struct{}{}:
	default: // it has been asked already
	}
}

// Reap collects orphans until ctx ends: processes that became children of creel
// because their parent died, and of which nobody else will ask the status. That
// is the duty of pid 1 in a container, and of a child subreaper; elsewhere Reap
// has nothing to do and costs nothing.
//
// It takes no status away from os/exec or from an instance: whoever waits for a
// child holds a pidfd of it (os.StartProcess opens one with the child), and a
// child of which creel holds a pidfd is left alone. It is woken by SIGCHLD.
func Reap(ctx context.Context) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGCHLD)
	defer signal.Stop(signals)
	for {
		if err := reapOrphans(); err != nil {
			return fmt.Errorf("cannot reap orphans: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
		case <-reaperWake:
		}
	}
}

// reapOrphans collects those that have ended by now.
func reapOrphans() error {
	some, err := anyEndedChild()
	if err != nil || !some {
		return err
	}
	stats, err := allStats()
	if err != nil {
		return err
	}
	self := os.Getpid()
	for _, s := range stats {
		if s.ppid != self || !s.ended() {
			continue
		}
		if err := reapOrphan(s.pid); err != nil {
			return err
		}
	}
	return nil
}

// anyEndedChild looks without collecting. It is one cheap call, which is all
// that most SIGCHLDs cost.
func anyEndedChild() (bool, error) {
	var info unix.Siginfo
	err := ignoringEINTR(func() error {
		return unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	})
	if errors.Is(err, unix.ECHILD) {
		return false, nil
	}
	return info.Signo != 0, err
}

// reapOrphan collects the ended child pid, unless someone waits for it.
func reapOrphan(pid int) error {
	// Pinned before the question is asked: if the child has an owner, who
	// collects it and closes his pidfd just now, then this one leads to no
	// child any more, even if the pid is another's already.
	fd, err := borrowPidfd(pid)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = returnPidfd(fd) }() // closing a pidfd cannot lose anything
	owned, err := ownedPIDs()
	if err != nil || owned[pid] {
		return err
	}
	err = ignoringEINTR(func() error {
		return unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG, nil)
	})
	if errors.Is(err, unix.ECHILD) {
		return nil
	}
	return err
}

// ownedPIDs lists the processes of which creel holds a pidfd, borrowed ones
// left out.
func ownedPIDs() (map[int]bool, error) {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	owned := make(map[int]bool)
	for _, name := range names {
		// "anon_inode:[pidfd]"; asking this first spares reading the state of
		// thousands of sockets.
		link, err := os.Readlink(filepath.Join("/proc/self/fd", name))
		if err != nil || !strings.Contains(link, "pidfd") {
			continue
		}
		fd, err := strconv.Atoi(name)
		if err != nil || isBorrowed(fd) {
			continue
		}
		info, err := os.ReadFile(filepath.Join("/proc/self/fdinfo", name))
		if err != nil {
			continue // closed meanwhile: its owner has collected the process
		}
		for line := range strings.Lines(string(info)) {
			if value, ok := strings.CutPrefix(line, "Pid:"); ok {
				if pid, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && pid > 0 {
					owned[pid] = true
				}
			}
		}
	}
	return owned, nil
}
