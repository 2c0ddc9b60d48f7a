package store

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kopia/kopia/repo/object"

	"creel/internal/snapshot/tree"
)

// The sidecar is the true list of a snapshot's entries: it says what kopia's
// directories cannot (extended attributes, hard links, FIFOs, names that are no
// UTF-8, keys), and where the contents are. It is cut into shards by directory,
// each a file of JSON lines, so that a small change costs a small shard and not
// the list. head.json says how many there must be.

const sidecarFormat = 1

// sidecarHead is the content of head.json.
type sidecarHead struct {
	Format int  `json:"format"`
	Meta   Meta `json:"meta"`
	Shards int  `json:"shards"`
}

// shardEntries is how many entries share a shard, about; maxShards bounds what
// the list of the shards themselves costs.
const (
	shardEntries = 48
	maxShards    = 128
)

// shardCount is a power of two, so that it, and with it every shard, seldom changes.
func shardCount(entries int) int {
	n := 1
	for n < maxShards && entries > n*shardEntries {
		n *= 2
	}
	return n
}

func shardName(i int) string { return fmt.Sprintf("tree-%02x.jsonl", i) }

// shardOf tells the shard of an entry: that of its directory.
func shardOf(path string, shards int) int {
	h := fnv.New32a()
	_, _ = io.WriteString(h, parent(path))
	return int(h.Sum32() % uint32(shards))
}

func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}

// text is bytes that are mostly UTF-8: a JSON string if they are, else a list of
// one string in base 64.
type text string

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal([1][]byte{[]byte(t)})
}

func (t *text) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var list []string
		if err := json.Unmarshal(data, &list); err != nil {
			return err
		}
		if len(list) != 1 {
			return fmt.Errorf("%d texts instead of one", len(list))
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(list[0])
		*t = text(raw)
		return err
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	*t = text(s)
	return nil
}

// record is a line of a shard.
type record struct {
	Path   text      `json:"p"`
	Kind   tree.Kind `json:"k"`
	Mode   uint32    `json:"m"` // of fs.FileMode
	UID    uint32    `json:"u,omitempty"`
	GID    uint32    `json:"g,omitempty"`
	Size   int64     `json:"s,omitempty"`
	Sec    int64     `json:"t"`
	Nsec   int64     `json:"n,omitempty"`
	Target text      `json:"to,omitempty"`
	Xattrs []xattr   `json:"x,omitempty"`
	LinkTo text      `json:"ln,omitempty"`
	Key    text      `json:"key,omitempty"`
	Object string    `json:"o,omitempty"` // of a File: kopia's name of its content
}

type xattr struct {
	Name  text   `json:"n"`
	Value []byte `json:"v"`
}

// file is an entry and where its content is.
type file struct {
	tree.Entry
	object object.ID
}

func encodeRecord(f *file) ([]byte, error) {
	r := record{
		Path: text(f.Path), Kind: f.Kind, Mode: uint32(f.Mode), UID: f.UID, GID: f.GID, Size: f.Size,
		Sec: f.ModTime.Unix(), Nsec: int64(f.ModTime.Nanosecond()),
		Target: text(f.Target), LinkTo: text(f.LinkTo), Key: text(f.Key),
	}
	for _, name := range slices.Sorted(maps.Keys(f.Xattrs)) {
		r.Xattrs = append(r.Xattrs, xattr{text(name), f.Xattrs[name]})
	}
	if f.Kind == tree.File {
		r.Object = f.object.String()
	}
	line, err := json.Marshal(r)
	return append(line, '\n'), err
}

// decodeShard reads the lines of a shard.
func decodeShard(data []byte, shard, shards int, add func(*file) error) error {
	lines := bufio.NewReader(bytes.NewReader(data))
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("line %d is cut off", n)
		}
		f, err := decodeRecord(line)
		if err == nil && shardOf(f.Path, shards) != shard {
			err = fmt.Errorf("%q does not belong here", f.Path)
		}
		if err == nil {
			err = add(f)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}

func decodeRecord(line []byte) (*file, error) {
	var r record
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, err
	}
	f := &file{Entry: tree.Entry{
		Path: string(r.Path), Kind: r.Kind, Mode: fs.FileMode(r.Mode), UID: r.UID, GID: r.GID, Size: r.Size,
		ModTime: time.Unix(r.Sec, r.Nsec).UTC(), Target: string(r.Target), LinkTo: string(r.LinkTo), Key: string(r.Key),
	}}
	if r.Nsec < 0 || r.Nsec > 999_999_999 {
		return nil, fmt.Errorf("%q has a time of %d nanoseconds", f.Path, r.Nsec)
	}
	for _, x := range r.Xattrs {
		if f.Xattrs == nil {
			f.Xattrs = make(map[string][]byte, len(r.Xattrs))
		}
		if _, twice := f.Xattrs[string(x.Name)]; twice {
			return nil, fmt.Errorf("%q has the attribute %q twice", f.Path, x.Name)
		}
		f.Xattrs[string(x.Name)] = x.Value
	}
	if f.Kind == tree.File {
		id, err := object.ParseID(r.Object)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", f.Path, err)
		}
		f.object = id
	} else if r.Object != "" {
		return nil, fmt.Errorf("%q, a %s, has content", f.Path, f.Kind)
	}
	return f, checkEntry(&f.Entry)
}

// modeBits are what Entry.Mode may hold.
const modeBits = fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky

// checkEntry checks what package tree says of an entry by itself.
func checkEntry(e *tree.Entry) error {
	if e.Path == "" {
		return errors.New("an entry has no path")
	}
	for part := range strings.SplitSeq(e.Path, "/") {
		if part == "" || part == "." || part == ".." || strings.IndexByte(part, 0) >= 0 {
			return fmt.Errorf("%q is not a path of a tree", e.Path)
		}
	}
	bad := ""
	switch {
	case e.Kind != tree.Dir && e.Kind != tree.File && e.Kind != tree.Symlink && e.Kind != tree.FIFO:
		bad = fmt.Sprintf("is of the unknown kind %q", e.Kind)
	case e.Mode&^modeBits != 0:
		bad = "has more than permissions in its mode"
	case e.Kind != tree.File && (e.Size != 0 || e.LinkTo != "" || e.Key != ""):
		bad = "has what only a file has"
	case e.Size < 0:
		bad = "has a negative size"
	case (e.Kind == tree.Symlink) != (e.Target != ""):
		bad = "has a target without being a link, or the other way round"
	case e.Kind != tree.Dir && !strings.Contains(e.Path, "/"):
		bad = "is a root and no directory"
	}
	if bad != "" {
		return fmt.Errorf("%q %s", e.Path, bad)
	}
	return nil
}

// comparePaths is the order of a walk: a directory comes before what is in it,
// and that before the next name, so "a", "a/b", "a-b".
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' {
			x = 0
		}
		if y == '/' {
			y = 0
		}
		return int(x) - int(y)
	}
	return len(a) - len(b)
}

// listing is all entries of a snapshot, in the order of a walk.
type listing struct {
	files  []*file
	byPath map[string]*file
}

func newListing() *listing { return &listing{byPath: make(map[string]*file)} }

func (l *listing) add(f *file) error {
	if _, twice := l.byPath[f.Path]; twice {
		return fmt.Errorf("%q is there twice", f.Path)
	}
	l.byPath[f.Path] = f
	l.files = append(l.files, f)
	return nil
}

// finish sorts the entries and checks what they say of each other.
func (l *listing) finish() error {
	slices.SortFunc(l.files, func(a, b *file) int { return comparePaths(a.Path, b.Path) })
	for _, f := range l.files {
		if dir := parent(f.Path); dir != "" {
			if up := l.byPath[dir]; up == nil || up.Kind != tree.Dir {
				return fmt.Errorf("%q is in no directory", f.Path)
			}
		}
		if f.LinkTo == "" {
			continue
		}
		to := l.byPath[f.LinkTo]
		if to == nil || to.Kind != tree.File || to.LinkTo != "" || to.Size != f.Size || comparePaths(to.Path, f.Path) >= 0 {
			return fmt.Errorf("%q is a link to %q, which does not fit", f.Path, f.LinkTo)
		}
	}
	return nil
}

// contentKey names a content over snapshots: keys are only valid within a root.
func contentKey(f *file) string {
	if f.Kind != tree.File || f.Key == "" {
		return ""
	}
	root, _, _ := strings.Cut(f.Path, "/")
	return root + "\x00" + f.Key
}
