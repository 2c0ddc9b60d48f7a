package process

import (
	"math"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// launcherName is the argv[0] by which creel knows that it is the launcher.
	// It is no variable of the environment because that is the instance's, whole.
	launcherName = "creel-launch"
	controlFD    = 3
	goByte       = 'g'

	exitNotReleased = 125 // creel ended before it said "go", or said something else
	exitExecFailed  = 126

	// An answer is sent if the command could not be executed: a letter, and the
	// errno in two bytes, the lower one first.
	answerSize      = 3
	answerExec byte = 'e'

	// oomRaise is how much sooner than creel an instance is killed when the
	// whole machine runs out of memory (proc_pid_oom_score_adj(5)): as if it
	// used 20 percent of it more. That is far above what creel takes, and little
	// enough that a program elsewhere which takes all the memory goes first.
	oomRaise = 200
)

// launcherReady is set once this program is known to serve as the launcher too.
var launcherReady atomic.Bool

// RunLauncher must be the first call of main, and of the TestMain of every test
// that starts instances. In a process that was started as the launcher it does
// the launcher's work and never returns; else it returns at once.
func RunLauncher() {
	launcherReady.Store(true)
	if len(os.Args) >= 4 && os.Args[0] == launcherName {
		os.Exit(launcher(os.Args[1], os.Args[2], os.Args[3:]))
	}
	if len(os.Args) >= 1 && (os.Args[0] == apartName || os.Args[0] == programName || os.Args[0] == apartProbe) {
		goruntime.LockOSThread() // namespaces and capabilities are a thread's
		os.Exit(runApart(os.Args))
	}
}

// launcher waits for "go" and becomes the command. It writes nothing to the
// standard output or error: those are the instance's log.
func launcher(openFiles, path string, argv []string) int {
	// The signal mask that execve hands on is the calling thread's.
	goruntime.LockOSThread()
	if !released() {
		return exitNotReleased
	}
	err := setFiles(openFiles)
	if err == nil {
		err = prepareExec()
	}
	if err == nil {
		// Exec also puts back the limit of open files, which Go raised for
		// this process (see syscall.Exec, os/rlimit.go).
		err = syscall.Exec(path, argv, os.Environ())
	}
	tell(answerExec, err)
	return exitExecFailed
}

// setFiles sets the limit of open files, a number in decimal; 0: none. It goes
// through package syscall, which then knows that Exec must not put back the limit
// from before.
func setFiles(limit string) error {
	n, err := strconv.ParseUint(limit, 10, 64)
	if err != nil || n == 0 {
		return err
	}
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n})
}

// raiseOOMScore makes a launcher, and with it the instance, the kernel's choice
// before creel, by whose own value it goes. Raising it needs no privilege; where
// it fails all the same (a /proc that is read-only) the order is left to the
// kernel, which goes by size.
func raiseOOMScore(pid int) {
	data, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return
	}
	if own, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(strconv.Itoa(min(own+oomRaise, 1000))), 0)
	}
}

// released waits for creel's word. The end of the stream means that creel died
// or thought better of it.
func released() bool {
	var word [1]byte
	n := 0
	err := ignoringEINTR(func() (err error) {
		n, err = unix.Read(controlFD, word[:])
		return err
	})
	return err == nil && n == 1 && word[0] == goByte
}

// prepareExec makes the process as a fresh one: no descriptors but 0, 1 and 2,
// no ignored and no blocked signals. Any of these may have come down from
// whoever started creel (nohup ignores SIGHUP, shells leave descriptors open).
func prepareExec() error {
	if err := closeOnExec(); err != nil {
		return err
	}
	if err := defaultSignals(); err != nil {
		return err
	}
	var none unix.Sigset_t
	return unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
}

// closeOnExec marks all descriptors from the control socket on. The control
// socket must close by execve: that is how creel learns that it succeeded.
func closeOnExec() error {
	err := unix.CloseRange(controlFD, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	// Before Linux 5.11, or with a seccomp filter that does not know the call.
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name); err == nil && fd >= controlFD {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// defaultSignals sets every signal to its default action. os/signal cannot: it
// has no way to say "default" for a signal that was ignored at the start.
func defaultSignals() error {
	// struct sigaction of the kernel: a handler of 0 is SIG_DFL, and no flags,
	// restorer and mask are 0 on every architecture. Room for the largest.
	var action [8]uintptr
	const last, setSize = 64, 8
	for sig := uintptr(1); sig <= last; sig++ {
		if sig == uintptr(unix.SIGKILL) || sig == uintptr(unix.SIGSTOP) {
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, setSize, 0, 0)
		if errno != 0 {
			return errno
		}
	}
	return nil
}
