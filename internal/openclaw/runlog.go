package openclaw

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	"creel/internal/telemetry"
)

// runLog runs programs and keeps their output in a file, without secrets.
type runLog struct {
	path string
	file *os.File
	exec Exec
}

// keptLogs is how many logs of installations are kept.
const keptLogs = 5

// newRunLog makes a log in dir, and removes the oldest ones.
func newRunLog(dir string) (*runLog, error) {
	entries, err := os.ReadDir(dir) // not Glob: the folder's own name may look like a pattern
	if err != nil {
		return nil, diskError("look for old logs", err)
	}
	var old []string // ReadDir sorts, and the names sort by time
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "install-") && strings.HasSuffix(e.Name(), ".log") {
			old = append(old, e.Name())
		}
	}
	for ; len(old) >= keptLogs; old = old[1:] {
		if err := os.Remove(filepath.Join(dir, old[0])); err != nil {
			return nil, diskError("remove an old log", err)
		}
	}
	name := "install-" + time.Now().UTC().Format("20060102T150405.000000000") + ".log"
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, diskError("make a log file", err)
	}
	return &runLog{path: f.Name(), file: f}, nil
}

// command is a program to run to its end.
type command struct {
	path string
	args []string
	dir  string
	env  []string
}

// tailBytes is how much of a program's output is kept in memory: what is wrong
// stands at the end.
const tailBytes = 32 << 10

// killDelay is how long the output of a program is waited for after it was
// killed: a grandchild may hold it open.
const killDelay = 5 * time.Second

// run runs c to its end and returns the end of its output, standard output and
// error together. If ctx ends, c and its children are killed. If this process
// dies, c is killed by the kernel: an npm without an owner would go on writing
// into a folder that the next installation is removing.
func (l *runLog) run(ctx context.Context, c command) (output string, err error) {
	out := &lineWriter{file: l.file}
	l.note("$ " + c.path + " " + strings.Join(c.args, " "))

	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killDelay

	// PR_SET_PDEATHSIG is sent when the *thread* that started the child ends
	// (prctl(2)), so this thread is kept until the child has ended.
	goruntime.LockOSThread()
	err = l.exec.run(cmd)
	goruntime.UnlockOSThread()

	out.flush()
	if cmd.ProcessState == nil {
		l.note("# " + err.Error())
	} else {
		l.note("# " + cmd.ProcessState.String())
	}
	return out.kept.String(), err
}

// note writes a line of creel's own. A log that cannot be written (the disk is
// full) is no reason to fail: what it is about will say so itself.
func (l *runLog) note(line string) { _, _ = io.WriteString(l.file, line+"\n") }

// explainLines is how many lines of output an error shows.
const explainLines = 8

// explain adds to an error the log and the lines of the last program's output
// that say most: npm's errors, of which the first name the cause, or else the
// last lines.
func (l *runLog) explain(e *InstallError) *InstallError {
	e.Log = l.path
	b, err := os.ReadFile(l.path)
	if err != nil {
		return e // the path says it all
	}
	var failures, others []string
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "$ "): // the next program
			failures, others = nil, nil
		case line == "", line == "npm error", strings.HasPrefix(line, "# "), strings.HasPrefix(line, "npm http"),
			strings.HasPrefix(line, "npm error A complete log"):
		case strings.HasPrefix(line, "npm error"), strings.HasPrefix(line, "npm ERR!"): // the latter before npm 10
			failures = append(failures, "  "+line)
		default:
			others = append(others, "  "+line)
		}
	}
	if len(failures) > 0 {
		e.Tail = strings.Join(failures[:min(len(failures), explainLines)], "\n")
	} else {
		e.Tail = strings.Join(others[max(0, len(others)-explainLines):], "\n")
	}
	return e
}

// lineWriter passes whole lines on, without secrets, and keeps the last ones.
type lineWriter struct {
	file io.Writer
	part []byte       // of a line
	kept bytes.Buffer // the end of what was passed on
}

// longLine is where a line without an end is cut.
const longLine = 64 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		i := bytes.IndexByte(w.part, '\n')
		if i < 0 && len(w.part) < longLine {
			return len(p), nil
		}
		if i < 0 {
			i = len(w.part) - 1
		}
		w.line(w.part[:i+1])
		w.part = w.part[i+1:]
	}
}

// line passes on one line. An error of the file is dropped, as in note: given
// to os/exec it would cut off the program, whose own words are better.
func (w *lineWriter) line(b []byte) {
	clean := telemetry.Redact(string(b))
	_, _ = io.WriteString(w.file, clean)
	w.kept.WriteString(clean)
	if n := w.kept.Len(); n > 2*tailBytes {
		w.kept.Next(n - tailBytes)
	}
}

func (w *lineWriter) flush() {
	if len(w.part) > 0 {
		w.line(append(w.part, '\n'))
		w.part = nil
	}
}
