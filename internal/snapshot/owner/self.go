package owner

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"creel/internal/durable"
)

// Self is who a creel is.
type Self struct {
	Machine string // host name, for people
	DataDir string

	boot   string // of the machine; "": not known
	place  string // device and inode of the data folder
	folder string // chosen by chance when the folder was first used
}

// holder is the same for two creels only if they run on one data folder, of which
// the lock lets one in at a time: not for a copy of the folder, not for the same
// folder after another boot, and not for a clone of the machine.
func (s Self) holder() string { return s.boot + "/" + s.folder + "/" + s.place }

// kept is what is written down in the data folder.
type kept struct {
	Version int    `json:"version"`
	Folder  string `json:"folder"`
	Holder  string `json:"holder,omitempty"`
	Fence   uint64 `json:"fence,omitempty"`
	Since   time.Time
	// Until is the end of the present lease, on the clock since boot of Holder.
	Until time.Duration `json:"until_ns,omitempty"`
}

const keptVersion = 1

// open reads what is kept, or begins to keep it.
func (s *Self) open(path string) (kept, error) {
	b, err := os.ReadFile(path)
	var k kept
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k = kept{Version: keptVersion, Folder: random(16)}
		if err := k.write(path); err != nil {
			return kept{}, err
		}
	case err != nil:
		return kept{}, err
	default:
		if err := json.Unmarshal(b, &k); err != nil || k.Version != keptVersion || k.Folder == "" {
			return kept{}, fmt.Errorf("%s cannot be understood (%w); remove it, and this data folder counts as another machine", path, errors.Join(err, errors.New("it is of another version, or incomplete")))
		}
	}
	s.folder = k.Folder
	return k, nil
}

// write need not outlive a power cut: Until is on a clock that ends with it, and a
// folder of another name is one that waits for its own former term.
func (k kept) write(path string) error {
	if err := durable.Write(path, k, durable.Renamed); err != nil {
		return fmt.Errorf("cannot write down what is owned: %w", err)
	}
	return nil
}

// Identify finds out who this creel is. What cannot be found out makes it a
// stranger to itself after a restart, which then waits for its own term.
func Identify(dataDir, machine string) Self {
	s := Self{Machine: machine, DataDir: dataDir, boot: bootID(), place: place(dataDir)}
	if s.boot == "" || s.place == "" {
		s.boot, s.place = "", random(16)
	}
	return s
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // crypto/rand never fails (Go 1.24)
	return hex.EncodeToString(b)
}
