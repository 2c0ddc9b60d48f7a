package openclaw

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// manifest marks an installation as complete. It is written last.
type manifest struct {
	Format      int              `json:"format"`
	OpenClaw    string           `json:"openclaw"`
	Node        string           `json:"node"`
	NodePackage string           `json:"node_package"`
	Files       map[string]int64 `json:"files"`   // path -> size in bytes
	Entries     map[string]int   `json:"entries"` // folder -> number of entries
	InstalledAt time.Time        `json:"installed_at"`
}

const manifestFormat = 1

// sampledFiles are files whose sizes are compared, sampledDirs folders whose
// numbers of entries are: without one of the former nothing runs, and the
// latter show what a cleaner of old files or a broken copy has taken. Nothing
// of it is written to when OpenClaw runs.
func (t tree) sampledFiles() []string {
	return []string{
		t.node(),
		t.entry(),
		filepath.Join(t.openclaw(), "package.json"),
		filepath.Join(t.appDir(), "node_modules", ".package-lock.json"),
	}
}

func (t tree) sampledDirs() []string {
	return []string{
		filepath.Join(t.appDir(), "node_modules"),
		t.openclaw(),
		filepath.Join(t.openclaw(), "dist"),
	}
}

// writeManifest takes stock of t and writes its manifest, durably.
func writeManifest(t tree, s spec) error {
	m := manifest{
		Format: manifestFormat, OpenClaw: s.version, Node: s.nodeVersion, NodePackage: s.nodePackage,
		Files: map[string]int64{}, Entries: map[string]int{}, InstalledAt: time.Now().UTC(),
	}
	for _, path := range t.sampledFiles() {
		info, err := os.Stat(path)
		if err != nil {
			return &InstallError{Reason: ReasonBroken, Detail: "a file is missing from what npm installed", Next: nextRetry, Err: err}
		}
		m.Files[t.rel(path)] = info.Size()
	}
	for _, dir := range t.sampledDirs() {
		n, err := countEntries(dir)
		if err != nil {
			return &InstallError{Reason: ReasonBroken, Detail: "a folder is missing from what npm installed", Next: nextRetry, Err: err}
		}
		m.Entries[t.rel(dir)] = n
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the manifest of OpenClaw: %w", err)
	}
	if err := writeFile(t.manifest(), append(b, '\n')); err != nil {
		return diskError("write the manifest", err)
	}
	return nil
}

// checkManifest tells why t is not a complete installation of s, or nil.
func checkManifest(t tree, s spec) error {
	b, err := os.ReadFile(t.manifest())
	if err != nil {
		return err
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("%s: %w", t.manifest(), err)
	}
	if m.Format != manifestFormat || m.OpenClaw != s.version || m.Node != s.nodeVersion || m.NodePackage != s.nodePackage {
		return fmt.Errorf("%s is of another installation", t.manifest())
	}
	for _, path := range t.sampledFiles() {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if want, ok := m.Files[t.rel(path)]; !ok || info.Size() != want {
			return fmt.Errorf("%s has %d bytes instead of %d", path, info.Size(), want)
		}
	}
	for _, dir := range t.sampledDirs() {
		n, err := countEntries(dir)
		if err != nil {
			return err
		}
		if want, ok := m.Entries[t.rel(dir)]; !ok || n != want {
			return fmt.Errorf("%s has %d entries instead of %d", dir, n, want)
		}
	}
	return nil
}

// rel is path within the tree, so that an installation may be copied as a whole.
func (t tree) rel(path string) string {
	rel, err := filepath.Rel(t.root, path)
	if err != nil { // both are absolute
		panic("openclaw: " + err.Error())
	}
	return rel
}

// countEntries is the number of entries in a folder. Readdirnames asks the
// kernel for names alone; os.ReadDir would sort them as well.
func countEntries(dir string) (int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	names, err := f.Readdirnames(-1)
	return len(names), err
}
