package event

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/telemetry"
)

// disk is a real folder whose files can be made to fail.
type disk struct {
	mu       sync.Mutex
	room     int   // bytes that may still be written; -1: no bound
	err      error // of writes once there is no room, and of Open
	syncErr  error
	noRepair bool          // Truncate fails, too
	block    chan struct{} // writes wait until it is closed; nil: they do not
	blocked  chan struct{} // closed when a write waits
}

func newDisk() *disk { return &disk{room: -1} }

func (d *disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *disk) open(path string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil && d.room <= 0 {
		return nil, d.err
	}
	f, err := openForAppend(path)
	return &faultyFile{f, d}, err
}

type faultyFile struct {
	file
	disk *disk
}

func (f *faultyFile) Write(b []byte) (int, error) {
	d := f.disk
	d.mu.Lock()
	block := d.block
	if block != nil && d.blocked != nil {
		close(d.blocked)
		d.blocked = nil
	}
	d.mu.Unlock()
	if block != nil {
		<-block
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.room < 0 || len(b) <= d.room {
		return f.file.Write(b)
	}
	n, err := f.file.Write(b[:d.room]) // as write(2) does on a disk that fills up
	d.room = 0
	return n, errors.Join(err, d.err)
}

func (f *faultyFile) Truncate(size int64) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.noRepair {
		return syscall.EIO
	}
	return f.file.Truncate(size)
}

func (f *faultyFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.syncErr != nil {
		return f.disk.syncErr
	}
	return f.file.Sync()
}

// A disk that fills up in the midst of a line: what fits in memory is written
// once there is room, each event once, and the rest is said to be lost.
func TestFullDisk(t *testing.T) {
	for _, noRepair := range []bool{false, true} {
		for _, room := range []int{0, 10, 150, 300} {
			t.Run(fmt.Sprintf("room %d, no repair %v", room, noRepair), func(t *testing.T) {
				dir, d := t.TempDir(), newDisk()
				m := telemetry.NewMetrics(telemetry.MetricsOptions{})
				j := open(t, Options{Dir: dir, Memory: 20, Metrics: m, openFile: d.open})
				record(t, j, 5)
				d.set(func() { d.room, d.err, d.noRepair = room, syscall.ENOSPC, noRepair })
				for range 10 { // fewer than memory holds
					j.Record(Event{Kind: Ready, Message: "while the disk is full"})
				}
				await(t, "Health tells", func() bool { return errors.Is(j.Health(), syscall.ENOSPC) })
				if j.Lost() != 0 {
					t.Errorf("%d events are lost already", j.Lost())
				}
				if got := j.Recent(10); len(got) != 10 || got[9].Seq != 15 {
					t.Errorf("memory has %v", seqs(got))
				}
				d.set(func() { d.room, d.err, d.noRepair = -1, nil, false })
				await(t, "Health is well", func() bool { return j.Health() == nil })
				record(t, j, 1)
				closeNow(t, j)
				got := all(t, ReadDir(dir, 0, 0))
				text, err := os.ReadFile(filepath.Join(dir, active))
				if n := strings.Count(string(text), "\n"); err != nil || n != len(got) {
					t.Errorf("the file has %d lines for %d events, %v", n, len(got), err)
				}
				if found := troubles(got); noRepair && room > 0 && len(found) == 1 && found[0].Cause == "torn" {
					wantSeqs(t, "files", got, span(1, 17))
				} else if len(found) > 0 {
					t.Errorf("troubles %v", found)
				} else {
					wantSeqs(t, "files", got, span(1, 16))
				}
			})
		}
	}
}

func TestLostEventsAreCountedAndTold(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	j := open(t, Options{Dir: dir, Memory: 20, openFile: d.open})
	record(t, j, 5)
	d.set(func() { d.room, d.err = 0, syscall.EROFS })
	j.Record(Event{Kind: Ready}) // 6: in the writer's hands from here on
	await(t, "the writer has failed", func() bool { return j.Health() != nil })
	for range 50 { // 7 to 56, of which memory holds the last 20
		j.Record(Event{Kind: Ready})
	}
	if j.Lost() != 30 {
		t.Errorf("lost %d, want 30", j.Lost())
	}
	d.set(func() { d.room, d.err = -1, nil })
	await(t, "all is written", func() bool { return j.Health() == nil && j.unwritten() == 0 })
	closeNow(t, j)
	got := all(t, ReadDir(dir, 0, 0))
	found := troubles(got)
	if len(found) != 1 || found[0].Cause != "not_written" ||
		!strings.Contains(found[0].Message, "30 events, of numbers 7 to 36") ||
		!strings.Contains(found[0].Message, syscall.EROFS.Error()) {
		t.Errorf("troubles %v", found)
	}
	// What the writer held comes first, then the gap, then what memory held.
	var want []uint64
	want = append(want, span(1, 6)...)
	want = append(want, span(37, 57)...)
	wantSeqs(t, "files", got, want)
}

// However long the trouble has lasted, it is over soon after its end.
func TestLongTroubleEndsSoon(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	synctest.Test(t, func(t *testing.T) {
		d.room, d.err = 0, syscall.ENOSPC
		j, err := Open(Options{Dir: dir, openFile: d.open})
		if err != nil {
			t.Fatal(err)
		}
		j.Record(Event{Kind: Ready})
		time.Sleep(24 * time.Hour) // of the bubble's clock
		d.set(func() { d.room, d.err = -1, nil })
		time.Sleep(lastRetry)
		if synctest.Wait(); j.Health() != nil || j.unwritten() > 0 {
			t.Errorf("%v after its end: %v, %d events are not written", lastRetry, j.Health(), j.unwritten())
		}
		if err := j.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A disk that does not come back from a write holds up nobody but the writer.
func TestRecordDoesNotWaitForTheDisk(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	blocked, block := make(chan struct{}), make(chan struct{})
	d.block, d.blocked = block, blocked
	j := open(t, Options{Dir: dir, openFile: d.open})
	j.Record(Event{Kind: Ready})
	<-blocked
	for range 5000 {
		j.Record(Event{Kind: Ready})
	}
	if got := collect(t.Context(), j, 5000, 1); len(got) != 1 || got[0].Seq != 5001 {
		t.Errorf("a subscriber is given %v", got)
	}
	if n := len(all(t, j.Since(4500, 0))); n != 501 {
		t.Errorf("Since gives %d events", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := j.Close(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "1001 events are not written") {
		t.Errorf("Close: %v", err)
	}
	close(block)
	<-j.done
}

func TestCloseOnABadDisk(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	j := open(t, Options{Dir: dir, openFile: d.open})
	record(t, j, 1)
	d.set(func() { d.room, d.err = 0, syscall.EIO })
	j.Record(Event{Kind: Ready})
	await(t, "Health tells", func() bool { return j.Health() != nil })
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := j.Close(ctx)
	if !errors.Is(err, syscall.EIO) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	<-j.done
	if j.Lost() != 1 {
		t.Errorf("lost %d", j.Lost())
	}
}

// The disk comes back while Close waits.
func TestCloseWaitsForTheDisk(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	d.room, d.err = 0, syscall.EROFS
	j := open(t, Options{Dir: dir, openFile: d.open}) // does not even open
	if !errors.Is(j.Health(), syscall.EROFS) {
		t.Errorf("health %v", j.Health())
	}
	j.Record(Event{Kind: Ready})
	closed := make(chan error)
	go func() { closed <- j.Close(context.Background()) }()
	await(t, "Close has begun", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.closed
	})
	d.set(func() { d.room, d.err = -1, nil })
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wantSeqs(t, "files", all(t, ReadDir(dir, 0, 0)), span(1, 1))
}

func TestSyncFailureIsTrouble(t *testing.T) {
	dir, d := t.TempDir(), newDisk()
	d.syncErr = syscall.EIO
	j := open(t, Options{Dir: dir, openFile: d.open})
	record(t, j, 1)
	err := j.Close(context.Background())
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), "0 events are not written") {
		t.Errorf("Close: %v", err)
	}
}

// A person removes the file, or the folder, or puts something else there.
func TestRemovedUnderneath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journal")
	j := open(t, Options{Dir: dir})
	record(t, j, 2)
	if err := os.Remove(filepath.Join(dir, active)); err != nil {
		t.Fatal(err)
	}
	record(t, j, 2)
	wantSeqs(t, "without the file", all(t, ReadDir(dir, 0, 0)), span(3, 4))
	if err := os.Rename(filepath.Join(dir, active), filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, active), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	record(t, j, 2)
	wantSeqs(t, "with another file", all(t, ReadDir(dir, 0, 0)), span(5, 6))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	record(t, j, 2)
	wantSeqs(t, "without the folder", all(t, ReadDir(dir, 0, 0)), span(7, 8))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	j.Record(Event{Kind: Ready})
	await(t, "Health tells", func() bool { return errors.Is(j.Health(), syscall.ENOTDIR) })
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	await(t, "Health is well", func() bool { return j.Health() == nil })
	wantSeqs(t, "with the folder again", all(t, ReadDir(dir, 0, 0)), span(9, 9))
}

// The data folder comes to light after the start, with a journal in it.
func TestFolderThatComesLate(t *testing.T) {
	parent := t.TempDir()
	dir, real := filepath.Join(parent, "journal"), filepath.Join(parent, "real")
	old := open(t, Options{Dir: real})
	record(t, old, 40)
	closeNow(t, old)
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // so that nothing can be made there
		t.Fatal(err)
	}
	j := open(t, Options{Dir: dir})
	for range 3 {
		j.Record(Event{Kind: Ready})
	}
	await(t, "the writer has them", func() bool { return j.Health() != nil })
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(real, dir); err != nil {
		t.Fatal(err)
	}
	await(t, "Health is well", func() bool { return j.Health() == nil })
	record(t, j, 1)
	closeNow(t, j)
	got := all(t, ReadDir(dir, 0, 0))
	found := troubles(got)
	if len(found) != 1 || found[0].Fields["lost"] == nil || j.Lost() != 3 {
		t.Errorf("troubles %v, lost %d", found, j.Lost())
	}
	wantSeqs(t, "files", got, span(1, 42))
}
