package crashgw

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The kinds of a Life.
const (
	LifeStart   = "start"   // the process runs, and no other one does
	LifeOverlap = "overlap" // the process runs, and another one still does
	LifeEnd     = "end"     // it ends by itself
)

// Life is a line of the file of lives: the beginning, or the orderly end, of a
// process. One that is killed writes no end.
type Life struct {
	Kind       string `json:"kind"`
	Mono       int64  `json:"mono"` // CLOCK_MONOTONIC, nanoseconds
	PID        int    `json:"pid"`
	Generation string `json:"generation,omitempty"`
	Beside     int    `json:"beside,omitempty"` // overlap: the pid of the latest start
}

// lives writes the file of lives. The process holds the file's lock as long as
// it lives, and the kernel takes it away with its last breath (flock(2)): a
// process that does not get it at its start is one of two.
type lives struct {
	file       *lineFile
	held       *os.File // has the lock
	generation string
}

// openLives writes that this process has started.
func openLives(path, generation string) (*lives, error) {
	file, err := openLines(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the file of lives: %w", err)
	}
	// An open file of its own, so that the lock is not that of locked().
	held, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the lock of lives: %w", err), file.f.Close())
	}
	l := &lives{file: file, held: held, generation: generation}
	life := Life{Kind: LifeStart}
	err = unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		life.Kind, err = LifeOverlap, nil
		earlier, readErr := ReadLives(path)
		if err = readErr; len(earlier) > 0 {
			life.Beside = earlier[len(earlier)-1].PID
		}
	}
	if err == nil {
		err = l.write(life)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot record the start of this process: %w", err)
	}
	return l, nil
}

func (l *lives) write(life Life) error {
	life.Mono, life.PID, life.Generation = Monotonic(), os.Getpid(), l.generation
	line, err := json.Marshal(life)
	if err != nil {
		return err
	}
	return l.file.append(line)
}

// ReadLives reads a file of lives, which may be in use. A missing one is empty.
func ReadLives(path string) ([]Life, error) {
	return readLines[Life](path, "file of lives")
}

// ReadStore reads a store, which may be in use. A missing one is empty.
func ReadStore(path string) ([]StoreLine, error) {
	return readLines[StoreLine](path, "store")
}
