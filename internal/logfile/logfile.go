// Package logfile reads the output file of an instance: its last lines, and
// what is added to it. The file is written by the instance itself and rotated by
// copying and truncating it, so a file that has become shorter is read from its
// beginning.
package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// perLine is how many bytes a line is reckoned to have when only the end of a
// file is read. Longer lines mean that fewer of them are found.
const perLine = 1 << 10

// Tail gives the last n lines of a file, without line ends. A file that does
// not exist has none.
func Tail(path string, n int) ([]string, error) {
	lines, _, _, err := tail(path, n)
	return lines, err
}

// tail also gives the offset from which it has read, and the one behind the last line.
func tail(path string, n int) (lines []string, from, end int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, 0, nil
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("cannot read the gateway's output: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, 0, fmt.Errorf("cannot read the gateway's output: %w", err)
	}
	size := info.Size()
	from = max(0, size-int64(n)*perLine)
	b := make([]byte, size-from)
	if got, err := f.ReadAt(b, from); err != nil && err != io.EOF {
		return nil, 0, 0, fmt.Errorf("cannot read the gateway's output: %w", err)
	} else if got < len(b) { // truncated in this moment
		b = b[:got]
	}
	end = from + int64(len(b))
	if from > 0 { // the first line is cut
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	if len(b) == 0 {
		return nil, from, end, nil
	}
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		lines = append(lines, string(bytes.TrimSuffix(line, []byte("\r"))))
	}
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines, from, end, nil
}

// Follow writes the last n lines of a file to out, each with a line end, and
// then what is added to it, until ctx ends or out fails.
func Follow(ctx context.Context, path string, n int, out io.Writer) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot follow the gateway's output: %w", err)
	}
	defer watcher.Close()
	// The folder is watched, since the file may not exist yet.
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot follow the gateway's output: %w", err)
	}
	lines, _, at, err := tail(path, n)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if _, err := io.WriteString(out, line+"\n"); err != nil {
			return err
		}
	}
	for {
		if at, err = copyFrom(path, at, out); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-watcher.Errors:
			return fmt.Errorf("cannot follow the gateway's output: %w", err)
		case <-watcher.Events:
		}
	}
}

// copyFrom writes what a file has from an offset on, and returns the new one.
func copyFrom(path string, at int64, out io.Writer) (int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return at, fmt.Errorf("cannot read the gateway's output: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return at, fmt.Errorf("cannot read the gateway's output: %w", err)
	}
	if info.Size() < at {
		at = 0
	}
	n, err := io.Copy(out, io.NewSectionReader(f, at, info.Size()-at))
	return at + n, err
}
