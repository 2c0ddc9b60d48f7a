package restore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"creel/internal/durable"
	"creel/internal/snapshot/store"
)

// JournalName is the name of the journal in the gateway's folder.
const JournalName = "restore.json"

const journalVersion = 1

// Phase is how far a restore has got.
type Phase string

// The phases. Before Swapping the old state is in place, from then on the new
// one will be; from Undoing on the old one again.
const (
	Staging  Phase = "staging"  // the files are written beside their targets
	Swapping Phase = "swapping" // folders change places: forward whatever happens
	OnTrial  Phase = "trial"    // the new state is in place, and has to show its worth
	Undoing  Phase = "undoing"  // folders change places back, whatever happens
)

// journal is what restore.json holds.
type journal struct {
	Version int        `json:"version"`
	Now     *operation `json:"now,omitempty"` // the restore under way
	// Kept are folders that were set aside.
	Kept []Kept `json:"kept,omitempty"`
}

// operation is a restore under way.
type operation struct {
	ID       string    `json:"id"` // of the restore: part of the names of its folders
	Phase    Phase     `json:"phase"`
	Snapshot store.ID  `json:"snapshot"`
	Begun    time.Time `json:"begun"`
	Roots    []*root   `json:"roots"`
	// KeepRejected, while undoing: the new state is set aside, not removed.
	KeepRejected bool `json:"keep_rejected,omitempty"`
}

// Kept is a folder that a restore has set aside.
type Kept struct {
	Path     string    `json:"path"`   // where it is
	Target   string    `json:"target"` // where it was
	Since    time.Time `json:"since"`
	Snapshot store.ID  `json:"snapshot"` // of the restore
	// Rejected: it is what was restored and did not get ready; else, what was
	// there before the restore.
	Rejected bool `json:"rejected,omitempty"`
	// Doomed: it is being removed.
	Doomed bool `json:"doomed,omitempty"`
}

// JournalError says that the journal cannot be relied on. Nothing was touched,
// and the gateway must not be started: its state may be half way between two.
type JournalError struct {
	Path string
	Err  error
	Next string // the next step
}

func (e *JournalError) Error() string {
	return fmt.Sprintf("cannot tell how far a restore had got: %s: %v; %s", e.Path, e.Err, e.Next)
}

func (e *JournalError) Unwrap() error { return e.Err }

func (r *Restorer) journalPath() string { return filepath.Join(r.folder, JournalName) }

// ClearTemporary removes what a creel has left beside the journal that died while it
// wrote it. It is for whoever has the folder to itself, before all else.
func (r *Restorer) ClearTemporary() { durable.ClearTemporary(r.journalPath()) }

// load reads the journal; none: an empty one.
func (r *Restorer) load() (journal, error) {
	path := r.journalPath()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return journal{Version: journalVersion}, nil
	}
	if err != nil {
		return journal{}, &JournalError{path, err, "make it readable for the user that runs creel"}
	}
	j, err := parseJournal(b)
	if _, newer := errors.AsType[*durable.NewerError](err); newer {
		return journal{}, &JournalError{path, err, "use that creel, or a newer one"}
	} else if err != nil {
		return journal{}, &JournalError{path, err, `look at the state folder and at what lies beside it (names with ".creel-new-" and ".creel-old-"), put the right one in place, and then remove this file`}
	}
	return j, nil
}

// loadAt reads the journal of a restore that is in a phase; id, if not empty,
// says which.
func (r *Restorer) loadAt(phase Phase, id string) (journal, error) {
	j, err := r.load()
	if err == nil && (j.Now == nil || j.Now.Phase != phase || id != "" && j.Now.ID != id) {
		err = ErrNotUnderWay
	}
	return j, err
}

func parseJournal(b []byte) (journal, error) {
	if err := durable.CheckVersion(b, journalVersion); err != nil {
		return journal{}, err
	}
	var j journal
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // what is not understood cannot be acted on
	if err := d.Decode(&j); err != nil {
		return journal{}, err
	}
	return j, j.check()
}

// check completes a journal that was read, and refuses what creel has not written: paths are renamed and removed on its
// word.
func (j *journal) check() error {
	for _, k := range j.Kept {
		if !isOurs(k.Path) {
			return fmt.Errorf("it names %q as a folder that was set aside", k.Path)
		}
	}
	if j.Now == nil {
		return nil
	}
	switch j.Now.Phase {
	case Staging, Swapping, OnTrial, Undoing:
	default:
		return fmt.Errorf("it names the phase %q", j.Now.Phase)
	}
	if j.Now.ID == "" || strings.Contains(j.Now.ID, "/") || len(j.Now.Roots) == 0 {
		return errors.New("it names no folders")
	}
	for _, t := range j.Now.Roots {
		if t == nil || !filepath.IsAbs(t.Path) || filepath.Clean(t.Path) != t.Path || t.Path == "/" {
			return fmt.Errorf("it names %+v as a state folder", t)
		}
		if t.Way != Beside && t.Way != Inside || t.Way == Inside && t.Inner == nil {
			return fmt.Errorf("it names the way %q", t.Way)
		}
		t.id = j.Now.ID
	}
	return nil
}

// save writes the journal, durably. An empty one is removed.
func (r *Restorer) save(j journal) error {
	j.Version = journalVersion
	if err := r.disk.journal(r.journalPath(), j); err != nil {
		return fmt.Errorf("cannot write down how far the restore has got: %w", err)
	}
	return nil
}

func writeJournal(path string, j journal) error {
	if j.Now == nil && len(j.Kept) == 0 {
		return durable.Remove(path, durable.Synced)
	}
	return durable.Write(path, j, durable.Synced)
}
