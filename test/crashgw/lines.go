package crashgw

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockFor bounds the wait for another process that holds a file's lock.
const lockFor = 5 * time.Second

// lineFile is a file of lines that several processes write. Each line is one
// write(2) with O_APPEND; the lock (flock(2), released by the kernel when its
// holder dies) makes "look up, then write" one step among processes.
type lineFile struct {
	path string

	mu    sync.Mutex
	f     *os.File
	known int64 // the file's first bytes that catchUp has shown
}

// openLines opens or creates the file.
func openLines(path string) (*lineFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return &lineFile{path: path, f: f}, nil
}

// locked calls f while no other goroutine and no other process writes.
func (l *lineFile) locked(ctx context.Context, f func() error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, lockFor)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		err := unix.Flock(int(l.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot lock %s: %w", l.path, err)
		}
		if err := sleep(ctx, 200*time.Microsecond); err != nil {
			return fmt.Errorf("cannot lock %s, another process holds it: %w", l.path, err)
		}
	}
	defer func() {
		if e := unix.Flock(int(l.f.Fd()), unix.LOCK_UN); e != nil {
			err = errors.Join(err, fmt.Errorf("cannot unlock %s: %w", l.path, e))
		}
	}()
	return f()
}

// append writes one line, given without its end. The lock is held.
func (l *lineFile) append(line []byte) error {
	torn, err := l.torn()
	if err != nil {
		return err
	}
	if torn {
		line = append([]byte{'\n'}, line...)
	}
	line = append(line, '\n')
	for {
		n, err := unix.Write(int(l.f.Fd()), line)
		switch {
		case err == syscall.EINTR && n <= 0:
			continue
		case err != nil:
			return fmt.Errorf("cannot write to %s: %w", l.path, err)
		case n < len(line):
			return fmt.Errorf("cannot write to %s: %w", l.path, io.ErrShortWrite)
		}
		return nil
	}
}

// torn tells whether the file ends within a line. The kernel may cut a write
// between two pages when its process is killed; that line was never answered,
// and must not spoil the next one.
func (l *lineFile) torn() (bool, error) {
	end, err := l.f.Seek(0, io.SeekEnd)
	if err != nil {
		return false, fmt.Errorf("cannot find the end of %s: %w", l.path, err)
	}
	if end == 0 {
		return false, nil
	}
	var last [1]byte
	if _, err := l.f.ReadAt(last[:], end-1); err != nil {
		return false, fmt.Errorf("cannot read the end of %s: %w", l.path, err)
	}
	return last[0] != '\n', nil
}

// catchUp shows each line that was not shown before. The lock is held.
func (l *lineFile) catchUp(show func(line []byte)) error {
	r := bufio.NewReader(io.NewSectionReader(l.f, l.known, 1<<62))
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // a rest without a line end is not counted as known
		}
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", l.path, err)
		}
		l.known += int64(len(line))
		show(line)
	}
}

// readLines decodes the lines of a file. Those that were cut off by the death of
// their process are left out.
func readLines[T any](path, what string) ([]T, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the %s: %w", what, err)
	}
	var all []T
	for line := range bytes.Lines(b[:bytes.LastIndexByte(b, '\n')+1]) {
		var v T
		if json.Unmarshal(line, &v) == nil {
			all = append(all, v)
		}
	}
	return all, nil
}
