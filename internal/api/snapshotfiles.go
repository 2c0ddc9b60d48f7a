package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// FileEntry is a file of a snapshot. Paths are relative to the state folder; if
// there are several, its name comes first.
type FileEntry struct {
	Path    string    `json:"path"` // quoted as in Go if it is no UTF-8
	Kind    tree.Kind `json:"kind"`
	Mode    string    `json:"mode"` // octal, such as "0644"
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime"`
	Target  string    `json:"target,omitempty"`  // of a symbolic link
	LinkTo  string    `json:"link_to,omitempty"` // of a hard link
}

// FileChange is how two snapshots differ at a path.
type FileChange struct {
	Change  tree.Change   `json:"change"`
	Path    string        `json:"path"`
	Aspects []tree.Aspect `json:"aspects,omitempty"`
	Was     int64         `json:"size_before"`
	Is      int64         `json:"size"`
}

// shown is a tree's path as people see it.
func shown(s store.Snapshot, path string) string {
	if len(s.Roots) == 1 {
		_, path = tree.SplitRoot(path)
		if path == "" {
			path = "."
		}
	}
	return tree.Quoted(path)
}

// inTree is the path in a tree of what a person means.
func inTree(s store.Snapshot, path string) string {
	path = strings.Trim(path, "/")
	if len(s.Roots) != 1 {
		return path
	}
	if path == "" || path == "." {
		return s.Roots[0].Name
	}
	return s.Roots[0].Name + "/" + strings.TrimPrefix(path, "./")
}

func entryOf(s store.Snapshot, e tree.Entry) FileEntry {
	f := FileEntry{
		Path: shown(s, e.Path), Kind: e.Kind, Mode: fmt.Sprintf("%#o", unixMode(e.Mode)), UID: e.UID, GID: e.GID,
		Size: e.Size, ModTime: e.ModTime, Target: tree.Quoted(e.Target),
	}
	if e.LinkTo != "" {
		f.LinkTo = shown(s, e.LinkTo)
	}
	return f
}

// unixMode is a mode as chmod(2) takes it.
func unixMode(m fs.FileMode) uint32 {
	n := uint32(m.Perm())
	for bit, flag := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			n |= flag
		}
	}
	return n
}

// open calls do with the files of the snapshot that a request names.
func open(s Snapshots, r *http.Request, do func(ctx context.Context, files store.Files) error) error {
	files, err := s.Files(r.Context(), store.ID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return errors.Join(do(r.Context(), files), files.Close())
}

// rows writes a document in each line. What has begun and cannot go on is cut off:
// it must not pass for all.
type rows struct {
	w     http.ResponseWriter
	enc   *json.Encoder
	begun bool
}

func newRows(w http.ResponseWriter) *rows { return &rows{w: w, enc: json.NewEncoder(w)} }

// add writes a line; false: nobody reads.
func (l *rows) add(v any) bool {
	l.begin()
	return l.enc.Encode(v) == nil
}

func (l *rows) begin() {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", mediaNDJSON)
	}
}

// end says that all is there, or why not.
func (l *rows) end(err error) error {
	if err != nil && l.begun {
		panic(http.ErrAbortHandler)
	}
	if err == nil {
		l.begin()
	}
	return err
}

// listFiles gives what is at a path of a snapshot: the entries of a folder, or the
// file itself; with all what is in its folders too.
func listFiles(s Snapshots, w http.ResponseWriter, r *http.Request, q FilesQuery) error {
	out := newRows(w)
	return out.end(open(s, r, func(ctx context.Context, files store.Files) error {
		at := inTree(files.Snapshot(), q.Path)
		found := at == ""
		for e, err := range files.Walk(ctx) {
			if err != nil {
				return err
			}
			rest, below := strings.CutPrefix(e.Path, at+"/")
			if at == "" {
				rest, below = e.Path, true
			}
			found = found || e.Path == at
			if e.Path == at && e.Kind == tree.Dir || e.Path != at && (!below || !q.All && strings.Contains(rest, "/")) {
				continue
			}
			if !out.add(entryOf(files.Snapshot(), e)) {
				return nil
			}
		}
		if !found {
			return notInSnapshot(files.Snapshot(), at)
		}
		return nil
	}))
}

// noFileError says that something is not in a snapshot that is there.
type noFileError struct {
	snapshot store.ID
	path     string // as it is shown
}

func (e *noFileError) Error() string {
	return fmt.Sprintf("snapshot %s has no file %s", e.snapshot, e.path)
}

func notInSnapshot(s store.Snapshot, path string) error {
	return &noFileError{s.ID, shown(s, path)}
}

// content gives the bytes of a file. A browser saves them and shows nothing: they
// are somebody else's.
func content(s Snapshots, w http.ResponseWriter, r *http.Request, q ContentQuery) error {
	return open(s, r, func(ctx context.Context, files store.Files) error {
		at := inTree(files.Snapshot(), q.Path)
		f, err := files.Open(ctx, at)
		if errors.Is(err, fs.ErrNotExist) {
			return notInSnapshot(files.Snapshot(), at)
		}
		if err != nil {
			return err
		}
		defer f.Close()
		w.Header().Set("Content-Type", mediaBytes)
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(at)}))
		if r.Method == http.MethodHead {
			return nil
		}
		if _, err := io.Copy(w, f); err != nil {
			// Part of it is on its way: what is cut off must not pass for all.
			panic(http.ErrAbortHandler)
		}
		return nil
	})
}

// diff gives the changes from one snapshot to another.
func diff(s Snapshots, w http.ResponseWriter, r *http.Request, q DiffQuery) error {
	out := newRows(w)
	return out.end(open(s, r, func(ctx context.Context, was store.Files) error {
		is, err := s.Files(ctx, store.ID(q.To))
		if err != nil {
			return err
		}
		defer is.Close()
		all, err := tree.Compare(ctx, was, is, tree.CompareOptions{TrustKeys: true})
		if err != nil {
			return err
		}
		for _, d := range all {
			if !out.add(FileChange{Change: d.Change, Path: shown(is.Snapshot(), d.Path), Aspects: d.Aspects, Was: d.Was.Size, Is: d.Is.Size}) {
				return nil
			}
		}
		return nil
	}))
}
