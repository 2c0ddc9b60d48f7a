package ui

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// filesPage is what the page of a snapshot's files shows: one folder.
type filesPage struct {
	S      store.Snapshot
	Path   string // as people see it; "": the top
	Crumbs []crumb
	Files  []fileRow
	More   int // that are not shown
}

func (p filesPage) pageTitle() string {
	return "Files of the snapshot of " + p.S.Time.Local().Format("2 Jan 2006, 15:04")
}

type crumb struct{ Name, Path string }

type fileRow struct {
	Name    string
	Path    string
	Folder  bool
	Size    int64
	ModTime time.Time
	Mode    string
	Note    string // what it is, if it is no file and no folder
	Load    bool   // its content can be had
}

// mostFiles is how many a page lists.
const mostFiles = 2000

// Paths in addresses are those of the tree, the root's name first; people see
// them without it where there is one root.

func filesData(u *UI, r *http.Request) (any, error) {
	s, _, err := u.snapshotNamed(r)
	if err != nil {
		return nil, err
	}
	files, err := u.opts.Snapshots.Files(r.Context(), s.ID)
	if err != nil {
		return nil, snapshotError(err)
	}
	at := strings.Trim(r.URL.Query().Get("path"), "/")
	if at == "" && len(s.Roots) == 1 {
		at = s.Roots[0].Name
	}
	p := filesPage{S: s, Path: at, Crumbs: crumbsOf(s, at)}
	found, err := p.read(r.Context(), files, at)
	if err = errors.Join(err, files.Close()); err != nil {
		return nil, snapshotError(err)
	}
	if !found {
		return nil, &pageError{http.StatusNotFound, "Not in this snapshot", "The snapshot has no folder " + clip(tree.Quoted(at), 200) + ".", ""}
	}
	return p, nil
}

// read lists a folder.
func (p *filesPage) read(ctx context.Context, files store.Files, at string) (found bool, err error) {
	found = at == ""
	for e, err := range files.Walk(ctx) {
		if err != nil {
			return found, err
		}
		if e.Path == at {
			found = found || e.Kind == tree.Dir
			continue
		}
		rest, below := e.Path, true
		if at != "" {
			rest, below = strings.CutPrefix(e.Path, at+"/")
		}
		if !below || strings.Contains(rest, "/") {
			continue
		}
		if len(p.Files) == mostFiles {
			p.More++
			continue
		}
		p.Files = append(p.Files, rowOf(e))
	}
	slices.SortStableFunc(p.Files, func(a, b fileRow) int { // folders first; names are in order
		switch {
		case a.Folder == b.Folder:
			return 0
		case a.Folder:
			return -1
		}
		return 1
	})
	return found, nil
}

func rowOf(e tree.Entry) fileRow {
	row := fileRow{Name: tree.Quoted(path.Base(e.Path)), Path: e.Path, Folder: e.Kind == tree.Dir, Size: e.Size, ModTime: e.ModTime, Mode: e.Mode.String(), Load: e.Kind == tree.File}
	switch {
	case e.Kind == tree.Symlink:
		row.Note = "link to " + tree.Quoted(e.Target)
	case e.LinkTo != "":
		row.Note = "the same file as " + tree.Quoted(e.LinkTo)
	case e.Kind == tree.FIFO:
		row.Note = "pipe"
	}
	return row
}

func crumbsOf(s store.Snapshot, at string) []crumb {
	list := []crumb{{Name: "all files"}}
	parts := strings.Split(at, "/")
	for i, part := range parts {
		if part == "" || i == 0 && len(s.Roots) == 1 {
			continue
		}
		list = append(list, crumb{tree.Quoted(part), strings.Join(parts[:i+1], "/")})
	}
	return list
}

// snapshotContent gives the bytes of a file, to be kept and never shown: what an
// agent has written must not run as a page of creel's.
func (u *UI) snapshotContent(w http.ResponseWriter, r *http.Request) {
	s, _, err := u.snapshotNamed(r)
	if err != nil {
		u.refuse(w, r, err)
		return
	}
	files, err := u.opts.Snapshots.Files(r.Context(), s.ID)
	if err != nil {
		u.refuse(w, r, snapshotError(err))
		return
	}
	defer files.Close()
	at := r.URL.Query().Get("path")
	f, err := files.Open(r.Context(), at)
	if errors.Is(err, fs.ErrNotExist) {
		u.refuse(w, r, &pageError{http.StatusNotFound, "Not in this snapshot", "The snapshot has no file " + tree.Quoted(clip(at, 200)) + ".", ""})
		return
	}
	if err != nil {
		u.refuse(w, r, snapshotError(err))
		return
	}
	defer f.Close()
	h := w.Header()
	secure(h)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": tree.Quoted(path.Base(at))}))
	if _, err := io.Copy(w, f); err != nil {
		// Part of it is on its way: what is cut off must not pass for all.
		panic(http.ErrAbortHandler)
	}
}

// refuse answers with a page that says why.
func (u *UI) refuse(w http.ResponseWriter, r *http.Request, err error) {
	v, data, status := errorView(view{section: "snapshots"}, err)
	u.write(w, r, status, v.name, u.frameOf(r, v, data))
}

// diffPage is what the page of a comparison shows.
type diffPage struct {
	From, To store.Snapshot
	Changes  []changeRow
	Added    int
	Removed  int
	Changed  int
	More     int
	Same     bool
	All      []store.Snapshot
}

type changeRow struct {
	Path    string
	Change  string // "added", "removed" or "changed"
	Tone    string
	Aspects string
	Was, Is int64
	File    bool
}

func diffData(u *UI, r *http.Request) (any, error) {
	all, err := u.snapshotList(withPatience(r.Context(), fullPatience))
	if err != nil {
		return nil, snapshotError(err)
	}
	var p diffPage
	if p.From, err = byID(all, r.URL.Query().Get("from")); err != nil {
		return nil, err
	}
	if p.To, err = byID(all, r.URL.Query().Get("to")); err != nil {
		return nil, err
	}
	p.All = slices.Clone(all)
	slices.Reverse(p.All)
	if p.From.Time.After(p.To.Time) { // whichever was chosen first
		p.From, p.To = p.To, p.From
	}
	was, err := u.opts.Snapshots.Files(r.Context(), p.From.ID)
	if err != nil {
		return nil, snapshotError(err)
	}
	defer was.Close()
	is, err := u.opts.Snapshots.Files(r.Context(), p.To.ID)
	if err != nil {
		return nil, snapshotError(err)
	}
	defer is.Close()
	list, err := tree.Compare(r.Context(), was, is, tree.CompareOptions{TrustKeys: true})
	if err != nil {
		return nil, snapshotError(err)
	}
	p.Same = len(list) == 0
	for _, d := range list {
		p.add(d)
	}
	return p, nil
}

func (p *diffPage) add(d tree.Difference) {
	row := changeRow{Path: tree.Quoted(d.Path), Change: string(d.Change), Was: d.Was.Size, Is: d.Is.Size, File: d.Was.Kind == tree.File || d.Is.Kind == tree.File}
	switch d.Change {
	case tree.Added:
		p.Added++
		row.Tone = toneOK
	case tree.Removed:
		p.Removed++
		row.Tone = toneBad
	case tree.Changed:
		p.Changed++
		row.Tone = toneWarn
	}
	words := make([]string, len(d.Aspects))
	for i, a := range d.Aspects {
		words[i] = string(a)
	}
	row.Aspects = strings.Join(words, ", ")
	if len(p.Changes) == mostFiles {
		p.More++
		return
	}
	p.Changes = append(p.Changes, row)
}
