package capture

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite"
)

// large is a database of a gateway that has been used for long, and how it is written to.
type large struct {
	Path string
	MB   int // of the database
	WAL  int // MB of its log that are not in it yet, which then grows; 0: SQLite's own way, a checkpoint every 4 MB
}

const largeVariable = "CREEL_TEST_LARGE_WRITER"

// largeWriterAsked is the process that writes to it: a transaction every 20 ms, over the
// whole of the database, until it is killed.
func largeWriterAsked() bool {
	text := os.Getenv(largeVariable)
	if text == "" {
		return false
	}
	var l large
	err := json.Unmarshal([]byte(text), &l)
	if err == nil {
		err = l.write()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
	return true
}

func (l *large) write() error {
	pragmas := "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	if l.WAL > 0 {
		pragmas += "&_pragma=wal_autocheckpoint(0)"
	}
	db, err := sql.Open("sqlite", l.Path+pragmas)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, text TEXT)"); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 2))
	text := func() string { return strings.Repeat(fmt.Sprintf("%016x", r.Uint64()), 220) }
	rows := l.MB << 20 / 4096
	if err := inOne(db, rows, func(i int) (string, []any) { return "INSERT INTO t VALUES (?, ?)", []any{i, text()} }); err != nil {
		return err
	}
	if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return err
	}
	update := func(int) (string, []any) { return "UPDATE t SET text = ? WHERE id = ?", []any{text(), r.IntN(rows)} }
	if err := inOne(db, l.WAL<<20/4096, update); err != nil {
		return err
	}
	fmt.Println("ready")
	for range time.Tick(20 * time.Millisecond) {
		if err := inOne(db, 2, update); err != nil {
			return err
		}
	}
	return nil
}

func inOne(db *sql.DB, n int, do func(i int) (string, []any)) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	for i := range n {
		query, args := do(i)
		if _, err := tx.Exec(query, args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// BenchmarkFreezeLarge measures how long a gateway is held still whose state is that of
// one in use for long: 6,000 files, and a database of more than 100 MB that is written
// to all the time.
func BenchmarkFreezeLarge(b *testing.B) {
	for name, l := range map[string]large{"120 MB": {MB: 120}, "120 MB, 40 MB in its log": {MB: 120, WAL: 40}} {
		b.Run(name, func(b *testing.B) {
			var pid int
			c, root := newCapturer(b, func(o *Options) {
				o.Processes = func(context.Context) ([]int, error) { return []int{pid}, nil }
			})
			for i := range 6000 {
				put(b, fmt.Sprintf("%s/sessions/%d/%d.jsonl", root, i%100, i), strings.Repeat("s", 500+i))
			}
			l.Path = root + "/memory.sqlite"
			pid = l.start(b)
			first, err := c.Capture(b.Context(), stopped(pid), nil)
			must(b, err)
			b.Logf("%d files, %d bytes; the first time held still for %v", first.Totals.Files, first.Totals.Bytes, first.Frozen)
			must(b, first.Release())
			var frozen, copying, working []time.Duration
			still := stopped(pid)
			timed := func(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
				return still(ctx, func(ctx context.Context) error {
					before := threadTime(b)
					defer func() { working = append(working, threadTime(b)-before) }()
					return do(ctx)
				})
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			largest := int64(0)
			for range 50 * b.N {
				cut, err := c.Capture(b.Context(), timed, nil)
				must(b, err)
				frozen, copying, largest = append(frozen, cut.Frozen), append(copying, cut.Copying), max(largest, cut.Delta.Bytes)
				must(b, cut.Release())
			}
			b.Logf("held still: %s", quantiles(frozen))
			b.Logf("of which looking and copying: %s; at most %d bytes", quantiles(copying), largest)
			b.Logf("processor time of that, which other work on the machine does not lengthen: %s", quantiles(working))
			slices.Sort(frozen)
			b.ReportMetric(float64(frozen[len(frozen)/2].Microseconds())/1000, "ms-frozen-p50")
			b.ReportMetric(float64(frozen[len(frozen)*99/100].Microseconds())/1000, "ms-frozen-p99")
		})
	}
}

// threadTime is the processor time that this thread has taken.
func threadTime(b *testing.B) time.Duration {
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_THREAD, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// start starts the writer, and waits until the database has its size.
func (l *large) start(b *testing.B) (pid int) {
	text, err := json.Marshal(l)
	must(b, err)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), largeVariable+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		b.Fatalf("the writer says %q: %v", line, err)
	}
	return cmd.Process.Pid
}
