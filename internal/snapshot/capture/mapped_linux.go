package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// mappings are the files that processes have in shared mappings.
type mappings struct {
	processes func(ctx context.Context) ([]int, error)

	all    bool            // a process could not be looked into
	inodes map[uint64]bool // by number alone, since Btrfs shows another device in maps than in stat
	names  map[string]bool // last parts of paths, since overlayfs may show another inode
}

// find looks for shared mappings, writable or not at the moment: what was
// writable before, and is dirty, can be so again without a fault.
func (m *mappings) find(ctx context.Context) error {
	m.all, m.inodes, m.names = false, map[uint64]bool{}, map[string]bool{}
	given := m.processes != nil
	pids, err := m.pids(ctx)
	if err != nil {
		return fmt.Errorf("cannot tell which processes may have state files mapped: %w", err)
	}
	for _, pid := range pids {
		if err := ctx.Err(); err != nil {
			return err
		}
		maps, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/maps")
		switch {
		case err == nil:
			m.add(maps)
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH): // it has ended
		default:
			m.all = m.all || given
		}
	}
	return nil
}

func (m *mappings) pids(ctx context.Context) ([]int, error) {
	if m.processes != nil {
		return m.processes(ctx)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// add takes in a file of the form of proc_pid_maps(5):
//
//	address perms offset dev inode path
func (m *mappings) add(maps []byte) {
	for line := range bytes.Lines(maps) {
		fields := bytes.Fields(line)
		if len(fields) < 6 || len(fields[1]) != 4 || fields[1][3] != 's' {
			continue
		}
		inode, err := strconv.ParseUint(string(fields[4]), 10, 64)
		if err != nil || inode == 0 {
			continue
		}
		m.inodes[inode] = true
		// The path is the rest of the line; blanks before its last part do not matter.
		m.names[path.Base(string(bytes.TrimSpace(line)))] = true
	}
}

// has says whether a file may be mapped.
func (m *mappings) has(inode uint64, name string) bool {
	return m.all || m.inodes[inode] || m.names[name]
}
