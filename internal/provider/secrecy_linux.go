package provider

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Seclude keeps other processes of the same user from reading keys in this one:
//
//   - The values of these variables are wiped from the memory that
//     /proc/PID/environ shows (proc_pid_environ(5)). os.Getenv has its own copy.
//   - The process is made undumpable (PR_SET_DUMPABLE, prctl(2)): only who has
//     CAP_SYS_PTRACE may look into its memory, environment and open files, or
//     trace it, and it leaves no core dump.
//
// SecludeEarly has done the second part already where it was called.
//
// A process with CAP_SYS_PTRACE (a gateway that runs as root and is not kept apart)
// still sees all. Each part is done as far as it can be; the error tells what could
// not.
func Seclude(variables []string) error {
	wiped := wipe(variables)
	if memory := ownMemory.Swap(nil); memory != nil {
		_ = memory.Close() // what was written is in memory
	}
	// After wiping: /proc/self/mem of an undumpable process is root's.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot keep other processes from reading creel's memory: %w", err)
	}
	return wiped
}

// ownMemory is /proc/self/mem, from SecludeEarly to Seclude.
var ownMemory atomic.Pointer[os.File]

// SecludeEarly makes the process undumpable when it has just begun: execve(2) makes one
// dumpable again, and a gateway that runs through an upgrade would have time to look
// into the successor before it has found out what to wipe. That is for Seclude, which
// must be called later, and tells what could not be done.
func SecludeEarly() {
	if memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0); err == nil {
		ownMemory.Store(memory)
	}
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

// wipe overwrites the values of variables in this process's initial environment.
func wipe(variables []string) error {
	if len(variables) == 0 {
		return nil
	}
	start, end, err := environmentRange()
	if err != nil {
		return fmt.Errorf("cannot find creel's environment in its memory: %w", err)
	}
	memory := ownMemory.Load()
	if memory == nil {
		if memory, err = os.OpenFile("/proc/self/mem", os.O_RDWR, 0); err != nil {
			return fmt.Errorf("cannot wipe keys from creel's environment: %w", err)
		}
		defer memory.Close()
	}
	env := make([]byte, end-start)
	if _, err := memory.ReadAt(env, start); err != nil {
		return fmt.Errorf("cannot wipe keys from creel's environment: %w", err)
	}
	at := start
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		name, value, ok := bytes.Cut(entry, []byte{'='})
		for _, v := range variables {
			if !ok || string(name) != v || len(value) == 0 {
				continue
			}
			if _, err := memory.WriteAt(make([]byte, len(value)), at+int64(len(name)+1)); err != nil {
				return fmt.Errorf("cannot wipe %s from creel's environment: %w", v, err)
			}
		}
		at += int64(len(entry) + 1)
	}
	return nil
}

// environmentRange is where the initial environment is in memory: fields 50 and 51
// of proc_pid_stat(5).
func environmentRange() (start, end int64, err error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0, err
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the first is field 3
	if len(fields) < 49 {
		return 0, 0, fmt.Errorf("/proc/self/stat has %d fields", len(fields)+2)
	}
	if start, err = strconv.ParseInt(fields[47], 10, 64); err == nil {
		end, err = strconv.ParseInt(fields[48], 10, 64)
	}
	if err == nil && (start <= 0 || end < start || end-start > 64<<20) {
		err = fmt.Errorf("/proc/self/stat gives %d to %d", start, end)
	}
	return start, end, err
}
