package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReap runs a creel that gets the orphans of its descendants.
func TestReap(t *testing.T) {
	out, err := roleCommand(t, "subreaper", t.TempDir(), strconv.Itoa(freePort(t))).CombinedOutput()
	if err != nil || string(out) != "ok\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// subreaperRole is a creel that is pid 1 as far as the kernel is concerned: it
// gets the orphans of its descendants. It prints "ok" if it reaped those, and
// lost no status of its own children.
func subreaperRole(args []string) int {
	if err := subreaper(args[0], args[1]); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ok")
	return 0
}

func subreaper(dir, port string) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	reaped := make(chan error, 1)
	go func() { reaped <- Reap(ctx) }()

	// Children whose status is asked for long after they have ended.
	const children = 4
	var own []*exec.Cmd
	for code := range children {
		cmd := exec.Command("/proc/self/exe", "exit", strconv.Itoa(code+1))
		cmd.Env = append(os.Environ(), role+"=orphaner")
		if err := cmd.Start(); err != nil {
			return err
		}
		own = append(own, cmd)
		if err := awaitState(ctx, func(s procStat) bool { return s.pid == cmd.Process.Pid && s.ended() }, true); err != nil {
			return fmt.Errorf("child %d: %w", code, err)
		}
		// Each leaves an orphan, which ends as soon as it is one.
		cmd = exec.Command("/proc/self/exe", "orphan")
		cmd.Env = append(os.Environ(), role+"=orphaner")
		if err := cmd.Run(); err != nil {
			return err
		}
	}
	isOwn := func(pid int) bool {
		for _, cmd := range own {
			if cmd.Process.Pid == pid {
				return true
			}
		}
		return false
	}
	if err := awaitState(ctx, func(s procStat) bool { return s.ppid == os.Getpid() && !isOwn(s.pid) }, false); err != nil {
		return fmt.Errorf("orphans stay: %w", err)
	}
	for code, cmd := range own {
		err := cmd.Wait()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != code+1 {
			return fmt.Errorf("child %d ended with %v", code, err)
		}
	}
	if err := instanceStatus(ctx, dir, port); err != nil {
		return err
	}
	cancel()
	return <-reaped
}

// instanceStatus checks that the status of an instance is not lost either.
func instanceStatus(ctx context.Context, dir, portArg string) error {
	r, err := New(Options{Dir: dir, DataDir: dir, CgroupParent: NoCgroup})
	if err != nil {
		return err
	}
	defer r.Close()
	port, err := strconv.Atoi(portArg)
	if err != nil {
		return err
	}
	i, err := r.Start(ctx, roleSpec(port, "orphaner", "exit", "21"))
	if err != nil {
		return err
	}
	<-i.Done()
	if exit := i.Exit(); !exit.Known || exit.Code != 21 {
		return fmt.Errorf("the instance: %s", exit)
	}
	return i.Kill(ctx)
}

// orphanerRole ends with a code, or leaves an orphan that ends when it does.
func orphanerRole(args []string) int {
	switch args[0] {
	case "exit":
		code, err := strconv.Atoi(args[1])
		if err != nil {
			return 99
		}
		return code
	case "wait": // the orphan: its input ends with its parent
		_, err := bufio.NewReader(os.Stdin).ReadByte()
		if err == nil {
			return 99
		}
		return 0
	}
	cmd := exec.Command("/proc/self/exe", "wait")
	if _, err := cmd.StdinPipe(); err != nil {
		return 1
	}
	if err := cmd.Start(); err != nil {
		return 1
	}
	return 0
}

// awaitState waits until some process is as asked for, or none.
func awaitState(ctx context.Context, is func(procStat) bool, some bool) error {
	for {
		stats, err := allStats()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(stats, is) == some {
			return nil
		}
		if err := pause(ctx, retryPause); err != nil {
			return err
		}
	}
}
