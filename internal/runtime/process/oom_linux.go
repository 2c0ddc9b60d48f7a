package process

import (
	"os"
	"path/filepath"
	"strconv"
)

// oomCounter is a kernel counter of processes killed for want of memory, in
// the memory cgroup of an instance. An instance that was killed while it grew
// was (very probably) ended by the kernel.
//
// Without a limit of memory the instance has no memory cgroup of its own, so the
// counter is that of the nearest one above, which may count others too. Only the growth
// together with a death by SIGKILL that creel did not send, of the main process or of
// one that it has waited for, is taken for OOM.
type oomCounter struct {
	file  string // empty: there is none
	start uint64
}

// newOOMCounter finds the counter of a running process and notes its value.
func newOOMCounter(pid int) oomCounter {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return oomCounter{}
	}
	own, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return oomCounter{}
	}
	for _, file := range oomFiles(mounts, own) {
		if n, ok := readOOM(file); ok {
			return oomCounter{file: file, start: n}
		}
	}
	return oomCounter{}
}

// grew reports whether the kernel has killed anything since the start.
func (c oomCounter) grew() bool {
	if c.file == "" {
		return false
	}
	n, ok := readOOM(c.file)
	return ok && n > c.start
}

// oomFiles lists where the counter may be, best first: v1 counts in the
// process's own cgroup alone; v2 counts in it and in all above it, of which
// those without the memory controller have no file.
func oomFiles(mountinfo, cgroup []byte) []string {
	var files []string
	for _, m := range cgroupMounts(mountinfo) {
		switch {
		case m.v2:
			rel, ok := beneath(ownCgroup(cgroup, "unified"), m.root)
			for ok && rel != "." {
				files = append(files, filepath.Join(m.mount, rel, "memory.events"))
				rel = filepath.Dir(rel)
			}
		case m.has("memory"):
			if rel, ok := beneath(ownCgroup(cgroup, "memory"), m.root); ok {
				files = append(files, filepath.Join(m.mount, rel, "memory.oom_control"))
			}
		}
	}
	return files
}

func readOOM(file string) (uint64, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	return field(data, "oom_kill")
}
