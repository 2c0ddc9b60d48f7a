package openclaw

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// VersionRecord says which version of OpenClaw is to run. It is on disk before
// anything depends on it: a creel that is killed in the middle of an upgrade leaves
// in Trial how far it has got.
type VersionRecord struct {
	// Version was chosen by an upgrade, while the configuration (gateway.version)
	// said Instead; empty: none was.
	Version string `json:"version,omitempty"`
	Instead string `json:"instead,omitempty"`
	// Trial is an upgrade under way; nil: none is.
	Trial *Trial `json:"trial,omitempty"`
	// Last tells what has become of the last upgrade; nil: there was none.
	Last *UpgradeReport `json:"last,omitempty"`
}

// The phases of a trial.
const (
	Trying      = "trying"       // an instance of the new version is to show that it works
	RollingBack = "rolling_back" // it does not: the old version and the old state come back
)

// Trial is an upgrade that has stopped being harmless: the new version may have
// been started on the state.
type Trial struct {
	From       string    `json:"from"`
	To         string    `json:"to"`
	Phase      string    `json:"phase"`
	Configured string    `json:"configured"` // gateway.version at that time
	Generation uint64    `json:"generation"` // of the last instance of the old version
	Started    time.Time `json:"started"`
	Snapshot   string    `json:"snapshot,omitempty"` // the state before; empty: the upgrade does without
	Reason     string    `json:"reason,omitempty"`   // RollingBack: why
}

// UpgradeReport tells what has become of an upgrade.
type UpgradeReport struct {
	From     string        `json:"from"`
	To       string        `json:"to"`
	OK       bool          `json:"ok"`
	Reason   string        `json:"reason,omitempty"`   // not OK: why the new version was given up
	Snapshot string        `json:"snapshot,omitempty"` // the state before; not OK: it is in place again
	At       time.Time     `json:"at"`
	Took     time.Duration `json:"took_ns"`
}

func (l Layout) versionPath() string { return filepath.Join(l.Root, "version.json") }

// ReadVersionRecord reads the record. One that cannot be understood is an error: to
// start another version on the state could harm it.
func ReadVersionRecord(l Layout) (VersionRecord, error) {
	var r VersionRecord
	b, err := os.ReadFile(l.versionPath())
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	if err != nil {
		return r, fmt.Errorf("cannot tell which version of OpenClaw is to run (%s): %w; put the file back, or remove it and gateway.version counts", l.versionPath(), err)
	}
	return r, nil
}

// Write puts the record on disk.
func (r VersionRecord) Write(l Layout) error {
	if err := os.MkdirAll(l.Root, 0o700); err != nil {
		return fmt.Errorf("cannot write down which version of OpenClaw is to run: %w", err)
	}
	if err := writeFile(l.versionPath(), append(marshal(r), '\n')); err != nil {
		return fmt.Errorf("cannot write down which version of OpenClaw is to run: %w", err)
	}
	return nil
}

// Effective is the version that is to run; configured is gateway.version. What an
// upgrade has chosen counts until the configuration says something else than it did
// then; another default of a later creel, which is not newer, is nothing else.
func (r VersionRecord) Effective(configured string) string {
	if configured == "" {
		configured = DefaultVersion
	}
	switch {
	case r.Trial != nil && r.Trial.Phase == RollingBack:
		return r.Trial.From
	case r.Trial != nil:
		return r.Trial.To
	case r.Version != "" && r.Instead == configured, r.Version != "" && configured == DefaultVersion && newer(r.Version, configured):
		return r.Version
	}
	return configured
}

// newer reports whether version a comes after b. The parts are numbers, and a
// number comes before one with something behind it (2026.3.23 before 2026.3.23-2).
func newer(a, b string) bool {
	split := func(v string) []string {
		return strings.FieldsFunc(v, func(r rune) bool { return r == '.' || r == '-' || r == '+' })
	}
	return slices.CompareFunc(split(a), split(b), func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX != nil || errY != nil {
			return strings.Compare(a, b)
		}
		return x - y
	}) > 0
}

// EffectiveVersion is the version of a data folder that is to run.
func EffectiveVersion(l Layout, configured string) (string, error) {
	r, err := ReadVersionRecord(l)
	return r.Effective(configured), err
}

// InstalledVersion is a version of OpenClaw that is on disk.
type InstalledVersion struct {
	Version string `json:"version"`
	Node    string `json:"node"` // of Node.js
	Dir     string `json:"dir"`
	Whole   bool   `json:"whole"`  // it can be run
	Used    bool   `json:"used"`   // the one that is to run
	Tested  bool   `json:"tested"` // the one that this creel was tested with
}

// Versions lists what is installed, the newest last; configured is
// gateway.version.
func Versions(l Layout, configured string) ([]InstalledVersion, error) {
	used, err := EffectiveVersion(l, configured)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(l.versions())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list the versions of OpenClaw: %w", err)
	}
	list := []InstalledVersion{}
	for _, e := range entries {
		version, node, ok := strings.Cut(e.Name(), "-node")
		if !ok || !e.IsDir() {
			continue
		}
		in := Installer{Layout: l, Version: version}
		spec, err := in.spec()
		if err != nil {
			continue // a folder of somebody else's
		}
		spec.nodeVersion, spec.dir = node, filepath.Join(l.versions(), e.Name())
		list = append(list, InstalledVersion{
			Version: version, Node: node, Dir: spec.dir, Whole: spec.check() == nil,
			Used: version == used && node == NodeVersion, Tested: version == DefaultVersion,
		})
	}
	slices.SortStableFunc(list, func(a, b InstalledVersion) int {
		switch {
		case newer(b.Version, a.Version):
			return -1
		case newer(a.Version, b.Version):
			return 1
		}
		return strings.Compare(a.Node, b.Node)
	})
	return list, nil
}
