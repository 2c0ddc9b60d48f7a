package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/renameio/v2"

	"creel/internal/crashpoint"
)

// intent is what must outlive creel though no instance runs: the last
// generation that was begun, so that numbers never repeat, and whether a person
// asked for the gateway to stay stopped. It is written whole, by rename.
type intent struct {
	Version    int    `json:"version"`
	Generation uint64 `json:"generation"`
	Stopped    bool   `json:"stopped"`
}

const intentVersion = 1

// intentFile keeps an intent. Its methods may be called from any goroutine.
type intentFile struct {
	path string // empty: the intent is kept in memory alone

	mu  sync.Mutex
	now intent // as on disk
}

// openIntent reads the intent. One that cannot be read or understood counts as
// none and comes with an error. It is not overwritten but renamed, so that a
// person (or the newer creel that wrote it) still has it.
func openIntent(path string) (*intentFile, error) {
	f := &intentFile{path: path}
	if path == "" {
		return f, nil
	}
	clearTemporary(path)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		f.now, err = parseIntent(b)
	}
	if err == nil {
		return f, nil
	}
	err = fmt.Errorf("cannot tell what was asked of the gateway before: %s: %w", path, err)
	aside := path + "." + time.Now().UTC().Format("20060102T150405.000000000Z") + ".refused"
	if e := os.Rename(path, aside); e != nil {
		return f, errors.Join(err, fmt.Errorf("cannot put that file aside: %w", e))
	}
	return f, fmt.Errorf("%w; the file was put aside as %s", err, aside)
}

// clearTemporary removes what writers of the file at path have left beside it
// that died before they had renamed it. Nobody writes it now. What cannot be
// removed takes a little room, and is no reason to say anything.
func clearTemporary(path string) {
	dir, name := filepath.Split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+name) { // as renameio names them
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

func parseIntent(b []byte) (intent, error) {
	var i intent
	if err := json.Unmarshal(b, &i); err != nil {
		return intent{}, err
	}
	switch {
	case i.Version > intentVersion:
		return intent{}, fmt.Errorf("it was written by a newer creel (version %d)", i.Version)
	case i.Version < 1:
		return intent{}, errors.New("it names no version")
	}
	return i, nil
}

// get gives the present intent.
func (f *intentFile) get() intent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// change changes the intent, on disk first.
func (f *intentFile) change(change func(*intent)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.now
	change(&next)
	next.Version = intentVersion
	if next == f.now {
		return nil
	}
	if f.path != "" {
		b, err := json.Marshal(next)
		if err != nil {
			return err
		}
		if err := renameio.WriteFile(f.path, append(b, '\n'), 0o600, renameio.WithTempDir(filepath.Dir(f.path))); err != nil {
			return fmt.Errorf("cannot record what is asked of the gateway: %w", err)
		}
	}
	f.now = next
	crashpoint.Passed(crashpoint.IntentWritten)
	return nil
}
