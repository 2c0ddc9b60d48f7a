package restore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// Way is how a folder is swapped.
type Way string

// The ways.
const (
	// Beside: the new folder lies beside the old one, and both change names.
	Beside Way = "beside"
	// Inside: the target is a mount point, or the folder that it is in cannot be
	// written to, so it keeps its place. The new one lies in a folder inside it, and
	// all that is in the two changes places, name by name, by rename.
	Inside Way = "inside"
)

// root is one state folder of a restore.
type root struct {
	Name string `json:"name"` // in the snapshot
	Path string `json:"path"` // the target, absolute, without links
	Way  Way    `json:"way"`
	Had  bool   `json:"had"` // there was a folder before

	// Inodes of the folders, while Swapping and later. They tell which is which
	// after an exchange; zero or equal: no exchange was made.
	NewInode uint64 `json:"new_inode,omitempty"`
	OldInode uint64 `json:"old_inode,omitempty"`

	Inner *inner `json:"inner,omitempty"` // of the way Inside

	id string // of the restore
}

// mark is in all names that creel gives to folders of a restore.
const mark = ".creel-"

// insideName begins the name of the folder in which a restore does its work
// inside a target (the way Inside).
const insideName = ".creel-restore-"

// isOurs tells by its path whether a folder was made by a restore.
func isOurs(path string) bool {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return false
	}
	base, above := filepath.Base(path), filepath.Base(filepath.Dir(path))
	return strings.Contains(base, mark+"old-") || strings.Contains(base, mark+"new-") || strings.Contains(base, mark+"rejected-") ||
		strings.HasPrefix(above, insideName)
}

// IsWork tells by its name whether something at the top of a state folder is
// creel's own, from a restore: it is no part of the state, and captures leave it
// out.
func IsWork(name string) bool { return strings.HasPrefix(name, insideName) }

// WorkPattern is what IsWork says, as a pattern of file names.
const WorkPattern = insideName + "*"

// place is a folder of a restore.
func (t *root) place(what string) string {
	if t.Way == Inside {
		return filepath.Join(t.work(), what)
	}
	return t.Path + mark + what + "-" + t.id
}

func (t *root) work() string     { return filepath.Join(t.Path, insideName+t.id) }
func (t *root) staged() string   { return t.place("new") }
func (t *root) old() string      { return t.place("old") }
func (t *root) rejected() string { return t.place("rejected") }
func (t *root) scratch() string  { return t.place("check") }

// RootsError says that a snapshot's roots are not those of the gateway.
type RootsError struct {
	Snapshot []store.Root
	Gateway  []store.Root
}

func (e *RootsError) Error() string {
	list := func(roots []store.Root) string {
		var all []string
		for _, r := range roots {
			all = append(all, fmt.Sprintf("%s (%s)", r.Name, r.Path))
		}
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("the snapshot has the state folders %s, and the gateway has %s: cannot tell which is which; configure the gateway with the folders of the snapshot, or export the snapshot (creel snapshot export) and copy what you need",
		list(e.Snapshot), list(e.Gateway))
}

// match gives the gateway's folder for each root of a snapshot: by name if all
// names are the same, by order if there are as many and no name is the same.
func match(snapshot, gateway []store.Root) (map[string]string, error) {
	byName := map[string]string{}
	for _, g := range gateway {
		byName[g.Name] = g.Path
	}
	common := 0
	for _, s := range snapshot {
		if _, ok := byName[s.Name]; ok {
			common++
		}
	}
	if len(snapshot) == 0 || len(snapshot) != len(gateway) || len(byName) != len(gateway) || common != 0 && common != len(snapshot) {
		return nil, &RootsError{snapshot, gateway}
	}
	to := map[string]string{}
	for i, s := range snapshot {
		to[s.Name] = gateway[i].Path
		if common > 0 {
			to[s.Name] = byName[s.Name]
		}
	}
	if len(to) != len(snapshot) {
		return nil, &RootsError{snapshot, gateway}
	}
	return to, nil
}

// locate finds out what is at a target, and makes the folders above it.
func (r *Restorer) locate(name, path, id string) (*root, error) {
	if !utf8.ValidString(path) {
		return nil, fmt.Errorf("the state folder %q is no UTF-8, and cannot be written into the journal", path)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	t := &root{Name: name, id: id, Way: Beside}
	t.Path, err = filepath.EvalSymlinks(abs)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, lerr := os.Lstat(abs); lerr == nil {
			return nil, fmt.Errorf("the state folder %s is a link to nowhere; correct or remove it", abs)
		}
		if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
			return nil, fmt.Errorf("cannot make the folders above %s: %w", abs, err)
		}
		above, err := filepath.EvalSymlinks(filepath.Dir(abs))
		if err != nil {
			return nil, err
		}
		t.Path = filepath.Join(above, filepath.Base(abs))
		return t, nil
	case err != nil:
		return nil, fmt.Errorf("cannot look at the state folder: %w", err)
	}
	if t.Path == "/" {
		return nil, errors.New("the state folder is /; that cannot be restored")
	}
	info, err := os.Stat(t.Path)
	if err != nil {
		return nil, fmt.Errorf("cannot look at the state folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is no folder; move it away", t.Path)
	}
	t.Had = true
	if r.disk.isFixed(t.Path) {
		t.Way, t.Inner = Inside, &inner{}
	}
	return t, nil
}

// isFixed tells whether a folder cannot be renamed.
func isFixed(path string) bool {
	above := filepath.Dir(path)
	if unix.Access(above, unix.W_OK) != nil {
		return true
	}
	var stx unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &stx); err == nil &&
		stx.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT != 0 {
		return stx.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	}
	// Before Linux 5.8: another device is another mount, or a Btrfs subvolume.
	var a, b unix.Stat_t
	return unix.Stat(path, &a) == nil && unix.Stat(above, &b) == nil && a.Dev != b.Dev
}

// disjoint refuses targets that lie in each other.
func disjoint(roots []*root) error {
	for i, a := range roots {
		for j, b := range roots {
			if i != j && (a.Path == b.Path || strings.HasPrefix(b.Path, a.Path+"/")) {
				return fmt.Errorf("the state folder %s lies in the state folder %s; they cannot be restored one by one", b.Path, a.Path)
			}
		}
	}
	return nil
}

// SpaceError says that there is too little room for the new state beside the old.
type SpaceError struct {
	Path       string // a target on that file system
	Need, Free int64  // bytes
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the restored state needs %d bytes (%.1f MiB) on the file system of %s, beside the present one, and %d (%.1f MiB) are free; make room, such as by removing what earlier restores have set aside",
		e.Need, float64(e.Need)/(1<<20), e.Path, e.Free, float64(e.Free)/(1<<20))
}

// space checks that the file systems have room for so many bytes of each root.
func space(roots []*root, need map[string]int64) error {
	type fsys struct {
		path       string
		need, free int64
	}
	all := map[uint64]*fsys{}
	for _, t := range roots {
		at := filepath.Dir(t.Path)
		if t.Way == Inside {
			at = t.Path
		}
		var st unix.Stat_t
		if err := unix.Stat(at, &st); err != nil {
			return &fs.PathError{Op: "stat", Path: at, Err: err}
		}
		f := all[uint64(st.Dev)]
		if f == nil {
			var s unix.Statfs_t
			if err := unix.Statfs(at, &s); err != nil {
				return &fs.PathError{Op: "statfs", Path: at, Err: err}
			}
			f = &fsys{path: t.Path, free: int64(s.Bavail) * s.Bsize}
			all[uint64(st.Dev)] = f
		}
		f.need += need[t.Name]
	}
	for _, f := range all {
		if f.need > f.free {
			return &SpaceError{f.path, f.need, f.free}
		}
	}
	return nil
}

// onDisk is about what an entry takes, with its inode.
func onDisk(e tree.Entry) int64 {
	const block = 4096
	if e.Kind != tree.File || e.LinkTo != "" {
		return block
	}
	return (e.Size+block-1)/block*block + 256
}
