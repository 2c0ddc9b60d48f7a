package process

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"creel/internal/runtime/runtimetest"
)

func openTestLog(t *testing.T, max int64, keep int) (*rotator, *os.File) {
	t.Helper()
	dir := t.TempDir()
	f, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := newRotator(LogPath(dir), max, keep, testLogger(t))
	t.Cleanup(func() {
		r.close()
		f.Close()
	})
	return r, f
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

func mustWrite(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

// TestRotate fills a log several times, waiting each time: no byte is lost, and
// the oldest go first.
func TestRotate(t *testing.T) {
	const max, keep = 1000, 2
	r, f := openTestLog(t, max, keep)
	r.watch()
	for round := range keep + 2 {
		content := strings.Repeat(fmt.Sprintf("round %d\n", round), 130)
		mustWrite(t, f, content)
		runtimetest.Await(t, "the log is rotated", func() bool {
			data, err := os.ReadFile(r.name(1))
			return err == nil && string(data) == content && fileSize(t, r.path) == 0
		})
	}
	old, err := os.ReadFile(r.name(keep))
	if err != nil || !strings.HasPrefix(string(old), fmt.Sprintf("round %d\n", keep)) {
		t.Errorf("oldest: %.20q, %v", old, err)
	}
	mustWrite(t, f, "small\n")
	files, err := filepath.Glob(r.path + "*")
	if err != nil || len(files) != keep+1 {
		t.Errorf("files %v, %v", files, err)
	}
}

// TestRotateFlood writes as fast as it can. Whatever is lost, no file outgrows
// its bound, and every line that is kept is whole but the first and last.
func TestRotateFlood(t *testing.T) {
	const max, keep, total = 1 << 20, 2, 96 << 20
	r, f := openTestLog(t, max, keep)
	r.watch()
	line := append(bytes.Repeat([]byte("x"), 1023), '\n')
	block := bytes.Repeat(line, 64)
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := 0; n < total; n += len(block) {
			if _, err := f.Write(block); err != nil {
				t.Error(err)
				return
			}
		}
	})
	writer.Wait()
	rotated := func() {
		t.Helper()
		runtimetest.Await(t, "the log is rotated", func() bool { return fileSize(t, r.path) < max })
	}
	rotated()
	for range keep - 1 { // all of the flood may have come between two looks
		mustWrite(t, f, strings.Repeat(string(line), max/len(line)))
		rotated()
	}
	r.close()
	for n := 1; n <= keep; n++ {
		size := fileSize(t, r.name(n))
		if size <= 0 || size > 3*max+100 {
			t.Errorf("%s: %d bytes", r.name(n), size)
		}
	}
	if size := fileSize(t, r.name(keep+1)); size >= 0 {
		t.Errorf("one log too many, of %d bytes", size)
	}
	data, err := os.ReadFile(r.name(1))
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range bytes.SplitAfter(data, []byte("\n")) {
		whole := bytes.Equal(got, line) || len(got) == 0
		if !whole && !(i < 2 || bytes.HasPrefix(line, got)) {
			t.Errorf("line %d of %s: %.40q… (%d bytes)", i, r.name(1), got, len(got))
		}
	}
}

// TestRotateOutgrown: a log that grew while there was no creel keeps its end.
func TestRotateOutgrown(t *testing.T) {
	const max = 1000
	r, f := openTestLog(t, max, 1)
	mustWrite(t, f, strings.Repeat("a", 9*max)+strings.Repeat("b", max))
	if err := r.rotate(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(r.name(1))
	want := fmt.Sprintf("[creel: %d bytes of output were dropped here]\n", 9*max) + strings.Repeat("b", max)
	if err != nil || string(got) != want || fileSize(t, r.path) != 0 {
		t.Errorf("copy %.80q…, %v; log %d bytes", got, err, fileSize(t, r.path))
	}
}

// TestRotateCatchesUp: what is written while the log is copied is copied too.
func TestRotateCatchesUp(t *testing.T) {
	const max = 1000
	r, f := openTestLog(t, max, 1)
	content := strings.Repeat("a", max) + "late line\n"
	mustWrite(t, f, content)
	log, err := os.Open(r.path)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := r.copyOut(log, max); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(r.name(1)); err != nil || string(got) != content {
		t.Errorf("copy of %d bytes, want %d; %v", len(got), len(content), err)
	}
}

// TestRotateWithoutRoom: if no copy can be made the log waits until twice its
// limit, and is emptied then.
func TestRotateWithoutRoom(t *testing.T) {
	const max = 1000
	r, f := openTestLog(t, max, 1)
	if err := os.Mkdir(r.path+".tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, f, strings.Repeat("a", max))
	if err := r.rotate(); err == nil || fileSize(t, r.path) != max {
		t.Errorf("at the limit: %v, %d bytes", err, fileSize(t, r.path))
	}
	mustWrite(t, f, strings.Repeat("a", max))
	if err := r.rotate(); err == nil || fileSize(t, r.path) != 0 {
		t.Errorf("at twice the limit: %v, %d bytes", err, fileSize(t, r.path))
	}
}

// TestRotateOnlyOne: of two creels on one log only one rotates.
func TestRotateOnlyOne(t *testing.T) {
	const max = 1000
	r, f := openTestLog(t, max, 1)
	mustWrite(t, f, strings.Repeat("a", max))
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := r.rotate(); err != nil || fileSize(t, r.path) != max {
		t.Errorf("while locked: %v, %d bytes", err, fileSize(t, r.path))
	}
}

// TestRotateWithoutInotify: the log is looked at by the clock.
func TestRotateWithoutInotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const max = 1000
		r, f := openTestLog(t, max, 1)
		stop, done := make(chan struct{}), make(chan struct{})
		go r.run(nil, stop, done)
		synctest.Wait()
		mustWrite(t, f, strings.Repeat("a", max))
		if err := pause(t.Context(), 2*rotateTick); err != nil {
			t.Fatal(err)
		}
		if got := fileSize(t, r.name(1)); got != max {
			t.Errorf("copy of %d bytes", got)
		}
		close(stop)
		<-done
	})
}
