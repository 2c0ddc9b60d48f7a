package openclaw

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// configDir is where creel keeps what it knows of the configuration: the record,
// and copies of the file. It is not part of the state: a state that is restored
// does not bring back what was refused since.
func (l Layout) configDir() string { return filepath.Join(l.Root, "config") }

// The copies of openclaw.json.
const (
	copySeen   = "seen.json"   // as creel saw it last
	copyTrying = "trying.json" // as the present instance was started with it
	copyRan    = "ran.json"    // the last one that an instance ran with for a while
)

// configRecord is what creel knows of the configuration.
//
// A configuration is named by the version of OpenClaw and a digest of what it says
// (see configID): comments, order and the port, which is creel's and may be
// another with each start, make no difference.
type configRecord struct {
	Valid   string             `json:"valid,omitempty"` // what OpenClaw has called valid last
	Ran     *ranConfig         `json:"ran,omitempty"`
	Refused map[string]refusal `json:"refused,omitempty"` // by configID
}

// ranConfig tells of the last configuration that ran.
type ranConfig struct {
	Version string    `json:"version"`
	At      time.Time `json:"at"`
}

// refusal is what came of a configuration that OpenClaw did not start with.
type refusal struct {
	Message  string    `json:"message"`
	At       time.Time `json:"at"`
	Doctored bool      `json:"doctored,omitempty"` // OpenClaw's doctor has had its turn
	Pending  bool      `json:"pending,omitempty"`  // an instance has ended with it, and nothing was done about that yet
}

// maxRefusals bounds the record.
const maxRefusals = 20

func configID(version string, b []byte) string {
	text := b
	if doc, err := parseDocument(b); err == nil {
		// A port that is not there is no error.
		if _, err := doc.remove([]string{"gateway", "port"}); err == nil {
			text = canonical(doc.root.Value)
		}
	}
	sum := sha256.Sum256(text)
	return version + " " + hex.EncodeToString(sum[:])
}

func (l Layout) recordPath() string { return filepath.Join(l.configDir(), "record.json") }

// readConfigRecord reads the record. One that cannot be understood is none: what it
// would have said is found out again.
func readConfigRecord(l Layout) (configRecord, error) {
	var r configRecord
	b, err := os.ReadFile(l.recordPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return r, fmt.Errorf("cannot read what is known of OpenClaw's configuration: %w", err)
	case json.Unmarshal(b, &r) != nil:
		r = configRecord{}
	}
	if r.Refused == nil {
		r.Refused = map[string]refusal{}
	}
	return r, nil
}

func (r configRecord) write(l Layout) error {
	for len(r.Refused) > maxRefusals {
		var oldest string
		for id, one := range r.Refused {
			if oldest == "" || one.At.Before(r.Refused[oldest].At) {
				oldest = id
			}
		}
		delete(r.Refused, oldest)
	}
	return l.keepCopy("record.json", append(marshal(r), '\n'))
}

// keepCopy writes a file of configDir, unless it is as it should be.
func (l Layout) keepCopy(name string, b []byte) error {
	if err := os.MkdirAll(l.configDir(), 0o700); err != nil {
		return fmt.Errorf("cannot keep what is known of OpenClaw's configuration: %w", err)
	}
	if kept, err := l.readCopy(name); err == nil && kept != nil && string(kept) == string(b) {
		return nil
	}
	if err := writeFile(filepath.Join(l.configDir(), name), b); err != nil {
		return fmt.Errorf("cannot keep what is known of OpenClaw's configuration: %w", err)
	}
	return nil
}

// readCopy reads a file of configDir; nil: there is none.
func (l Layout) readCopy(name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(l.configDir(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// present is openclaw.json as it is, and where it really lies; nil: there is none,
// or nothing that can be read.
func (l Layout) present() (b []byte, path string) {
	path = l.Config()
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, path // Configure says what is wrong with it
	}
	return b, path
}

// RefusedInfix is in the names of configurations that OpenClaw did not start with,
// which are kept beside openclaw.json; a time follows.
const RefusedInfix = ".refused-"

// keepRefused is how many of them are kept.
const keepRefused = 5

// setAside keeps a configuration beside openclaw.json, and removes old ones.
func setAside(path string, b []byte, now time.Time) (string, error) {
	kept := path + RefusedInfix + now.UTC().Format("20060102T150405.000Z")
	if err := writeFile(kept, b); err != nil {
		return "", fmt.Errorf("cannot keep the refused configuration: %w", err)
	}
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return kept, nil // it was written; that old ones stay is no harm
	}
	var all []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), base+RefusedInfix) && e.Name() != filepath.Base(kept) {
			all = append(all, e.Name())
		}
	}
	slices.Sort(all)
	for ; len(all) >= keepRefused; all = all[1:] {
		_ = os.Remove(filepath.Join(dir, all[0])) // likewise
	}
	return kept, nil
}

// Author is who has changed a configuration.
type Author string

// The authors.
const (
	ByCreel    Author = "creel"
	ByOpenClaw Author = "openclaw" // the Control UI, an agent, its command line or itself
	ByPerson   Author = "person"   // an editor, or whatever else writes files
)

// Words names the author in a sentence.
func (a Author) Words() string {
	switch a {
	case ByOpenClaw:
		return "OpenClaw (its Control UI, its command line, or itself)"
	case ByPerson:
		return "a person (or another program than OpenClaw)"
	case ByCreel:
	}
	return "creel"
}

// authorOf tells who has turned what creel saw last into what there is now. When
// OpenClaw writes its configuration it keeps the one before as .bak, and moves
// older ones on to .bak.1 and so on.
func authorOf(path string, seen []byte) Author {
	for _, suffix := range []string{".bak", ".bak.1", ".bak.2", ".bak.3", ".bak.4"} {
		if b, err := os.ReadFile(path + suffix); err == nil && configID("", b) == configID("", seen) {
			return ByOpenClaw
		}
	}
	return ByPerson
}
