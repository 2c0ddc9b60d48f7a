package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"creel/internal/runtime"
)

// An instance that is kept apart lives in a mount namespace of its own
// (mount_namespaces(7)), in which empty folders lie over those that it must not
// see. It runs as the same user as creel, so file modes cannot keep it out.
//
// What could take the folders away again, or look past them, is taken from it:
// the right to mount, and the right to look into processes outside, whose
// /proc/PID/root is the world as they see it. A process may look into another of
// its own user only if that has no right which it lacks itself (ptrace(2),
// "Ptrace access mode checking"); so the instance must lack some that creel has.
// That is why only a creel that runs as root can keep one apart: for others it
// would take a user namespace, in which sudo and all files of other users look
// and work differently.
//
// A root that is determined still has ways, such as a raw disk. For more, run
// creel as a user of its own.

// apartName is launcherName for an instance that is kept apart. Its arguments
// are those of the launcher, before them: the working directory, how many paths
// are hidden, these, how many of them are kept, and these.
const (
	apartName  = "creel-launch-apart"
	apartProbe = "creel-probe-apart"

	answerApart byte = 'h' // in place of answerExec: it could not be kept apart
)

// lostCapabilities are the rights (capabilities(7)) that an instance which is
// kept apart does not have.
var lostCapabilities = []uintptr{
	unix.CAP_SYS_ADMIN,       // mount(2), setns(2)
	unix.CAP_SYS_PTRACE,      // /proc/PID/root, mem and environ of others
	unix.CAP_DAC_READ_SEARCH, // open_by_handle_at(2)
	unix.CAP_SYS_RAWIO,       // /dev/mem
	unix.CAP_MKNOD,           // a device node of the disk
	unix.CAP_SYS_MODULE,
	unix.CAP_BPF, unix.CAP_PERFMON, // reading the kernel's memory
}

// canKeepApart returns nil if instances can be kept apart here, or why not.
func canKeepApart() error {
	if os.Geteuid() != 0 {
		return errors.New("creel does not run as root")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{apartProbe}
	out, err := cmd.CombinedOutput()
	if errors.As(err, new(*exec.ExitError)) && len(out) > 0 {
		return fmt.Errorf("a mount namespace cannot be made: %s", strings.TrimSpace(string(out)))
	}
	if err != nil {
		return fmt.Errorf("it cannot be tried whether a mount namespace can be made: %w", err)
	}
	return nil
}

// tried is can, which is asked until it knows: that creel could not fork is no answer.
func tried(can func() error) func() error {
	var mu sync.Mutex
	var known bool
	var answer error
	return func() error {
		mu.Lock()
		defer mu.Unlock()
		if known {
			return answer
		}
		err := can()
		if !cannotFork(err) {
			known, answer = true, err
		}
		return err
	}
}

// keptApart is what hides from an instance: nil if nothing does, be it that
// nothing is to be hidden, or that it cannot be and need not.
func (r *Runtime) keptApart(spec runtime.Spec) (*runtime.Apart, error) {
	return keptApart(spec.Apart, r.apart)
}

// keptApart is the same for any program; can returns nil if it can be kept apart, or
// why not.
func keptApart(a *runtime.Apart, can func() error) (*runtime.Apart, error) {
	if a == nil || len(a.Hide) == 0 {
		return nil, nil
	}
	err := can()
	switch {
	case err == nil:
		return a, nil
	case cannotFork(err):
		return nil, err // rather later than with all of creel's files in sight
	case a.Required:
		return nil, &runtime.ApartError{Why: err.Error()}
	}
	return nil, nil
}

// apartArgs are the launcher's arguments.
func apartArgs(spec runtime.Spec, a *runtime.Apart, path string) []string {
	args := []string{apartName, spec.Dir, strconv.Itoa(len(a.Hide))}
	args = append(args, a.Hide...)
	args = append(args, strconv.Itoa(len(a.Keep)))
	args = append(args, a.Keep...)
	args = append(args, strconv.Itoa(spec.Limits.OpenFiles), path)
	return append(args, spec.Command...)
}

// runApart is the launcher of an instance that is kept apart, or the probe.
func runApart(args []string) int {
	if args[0] == apartProbe {
		err := leaveMounts()
		if err == nil {
			err = unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
		}
		if err == nil {
			err = dropCapabilities()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	dir, rest := args[1], args[2:]
	var err error
	var lists [2][]string
	for i := range lists {
		var n int
		if n, err = strconv.Atoi(rest[0]); err != nil {
			return exitNotReleased
		}
		lists[i], rest = rest[1:1+n], rest[1+n:]
	}
	if err := keepApart(lists[0], lists[1], dir); err != nil {
		tell(answerApart, err)
		return exitExecFailed
	}
	if args[0] == programName {
		// It has been set for the thread that was forked; it is this one that goes on.
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			tell(answerExec, err)
			return exitExecFailed
		}
	}
	return launcher(rest[0], rest[1], rest[2:])
}

// keepApart hides folders and files from this process and all that it starts.
// The calling thread is locked, and the one that becomes the command.
func keepApart(hide, keep []string, dir string) error {
	if err := leaveMounts(); err != nil {
		return err
	}
	// What happens to mounts here stays here; what is mounted outside comes in.
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("cannot separate mounts: %w", err)
	}
	open := map[string]int{}
	for _, path := range keep {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot open %s: %w", path, err)
		}
		open[path] = fd
	}
	for _, path := range hide {
		if err := hidePath(path, open); err != nil {
			return err
		}
	}
	for _, fd := range open {
		_ = unix.Close(fd) // a path only
	}
	if dir != "" { // as it is seen now
		if err := unix.Chdir(dir); err != nil {
			return fmt.Errorf("cannot change to %s: %w", dir, err)
		}
	}
	return dropCapabilities()
}

// leaveMounts gives this thread a mount namespace of its own.
func leaveMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("cannot unshare mounts: %w", err)
	}
	return nil
}

// hidePath lays an empty folder, or an empty file, over a path, and those of keep
// that are within it over that again.
func hidePath(path string, keep map[string]int) error {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot hide %s: %w", path, err)
	}
	if !info.IsDir() {
		if err := unix.Mount(os.DevNull, path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot hide %s: %w", path, err)
		}
		return nil
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("creel-apart", path, "tmpfs", flags, "size=64k,mode=755"); err != nil {
		return fmt.Errorf("cannot hide %s: %w", path, err)
	}
	for kept, fd := range keep {
		if !strings.HasPrefix(kept, strings.TrimSuffix(path, "/")+"/") {
			continue
		}
		if err := bindKept(kept, fd); err != nil {
			return err
		}
	}
	if err := unix.Mount("none", path, "", unix.MS_REMOUNT|unix.MS_RDONLY|flags, "size=64k,mode=755"); err != nil {
		return fmt.Errorf("cannot hide %s: %w", path, err)
	}
	return nil
}

// bindKept shows, in a folder that is hidden, what an instance may see of it.
func bindKept(path string, fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("cannot keep %s: %w", path, err)
	}
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = os.Mkdir(path, 0o755)
	} else if err == nil {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err == nil {
		err = unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), path, "", unix.MS_BIND|unix.MS_REC, "")
	}
	if err != nil {
		return fmt.Errorf("cannot keep %s: %w", path, err)
	}
	return nil
}

// dropCapabilities takes lostCapabilities from what execve(2) can give, for good.
func dropCapabilities() error {
	for _, c := range lostCapabilities {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err != nil && !errors.Is(err, unix.EINVAL) { // the kernel does not know it
			return fmt.Errorf("cannot drop capability %d: %w", c, err)
		}
	}
	// What is inheritable would pass the bounding set by.
	var header = unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("cannot read capabilities: %w", err)
	}
	data[0].Inheritable, data[1].Inheritable = 0, 0
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("cannot set capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("cannot clear ambient capabilities: %w", err)
	}
	return nil
}

// tell sends an errno over the control socket. If creel is gone there is nobody to
// tell.
func tell(what byte, err error) {
	errno := syscall.Errno(unix.EIO)
	errors.As(err, &errno)
	_, _ = unix.Write(controlFD, []byte{what, byte(errno), byte(errno >> 8)})
}

// CanKeepApart returns nil if an instance can be kept apart from what is hidden
// from it (runtime.Apart) by a creel that runs as this process does, or why not.
func CanKeepApart() error { return canKeepApart() }
