package moltworker

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Layout is a way in which moltworker kept its state.
type Layout string

// The layouts, the oldest first.
const (
	Flat     Layout = "flat"
	Clawdbot Layout = "clawdbot"
	Rclone   Layout = "rclone"
	Snapshot Layout = "snapshot"
)

// Layouts are all of them.
var Layouts = []Layout{Flat, Clawdbot, Rclone, Snapshot}

// Found is a layout that a bucket has.
type Found struct {
	Layout Layout
	Backup string    // of the layout Snapshot: which one
	Latest time.Time // when something of it was written last
	Files  int       // objects
}

// LayoutError says that it is not clear what to import.
type LayoutError struct {
	Bucket string
	Found  []Found
	Wanted string
}

func (e *LayoutError) Error() string {
	if len(e.Found) == 0 {
		return fmt.Sprintf("there is nothing of moltworker's in %s: neither openclaw/openclaw.json, clawdbot/clawdbot.json or clawdbot.json, nor backups/<id>/data.sqsh", e.Bucket)
	}
	var list []string
	for _, f := range e.Found {
		s := fmt.Sprintf("%s (%d objects, the last of %s", f.Layout, f.Files, f.Latest.UTC().Format(time.DateTime))
		if f.Backup != "" {
			s += ", --backup " + f.Backup
		}
		list = append(list, s+")")
	}
	if e.Wanted != "" {
		return fmt.Sprintf("there is no %s in %s; there is %s", e.Wanted, e.Bucket, strings.Join(list, ", "))
	}
	return fmt.Sprintf("%s holds more than one state of moltworker's: %s; say which with --layout (moltworker did not carry over what it had before, so look at the dates)", e.Bucket, strings.Join(list, ", "))
}

// handle is backup-handle.json.
type handle struct {
	ID  string `json:"id"`
	Dir string `json:"dir"`
}

const handleKey = "backup-handle.json"

// image finds the images of the layout Snapshot.
var image = regexp.MustCompile(`^backups/([^/]+)/data\.sqsh$`)

// configs are the objects that say that a layout is there.
var configs = map[string]Layout{
	"clawdbot.json":          Flat,
	"clawdbot/clawdbot.json": Clawdbot,
	"clawdbot/openclaw.json": Clawdbot,
	"openclaw/openclaw.json": Rclone,
	"openclaw/clawdbot.json": Rclone,
}

// survey lists a bucket and says which layouts it has. Of several images all are
// named, the present one first.
func survey(ctx context.Context, b Bucket) (objects []Object, found []Found, err error) {
	has := map[Layout]bool{}
	var images []Found
	for o, err := range b.List(ctx) {
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, o)
		if l, ok := configs[o.Key]; ok {
			has[l] = true
		}
		if m := image.FindStringSubmatch(o.Key); m != nil {
			images = append(images, Found{Layout: Snapshot, Backup: m[1], Latest: o.ModTime, Files: 1})
		}
	}
	for _, l := range Layouts {
		if !has[l] {
			continue
		}
		f := Found{Layout: l}
		for _, o := range objects {
			if _, ok := place(l, o.Key); ok {
				f.Files++
				f.Latest = later(f.Latest, o.ModTime)
			}
		}
		found = append(found, f)
	}
	if len(images) == 0 {
		return objects, found, nil
	}
	present, err := readHandle(ctx, b, objects)
	slices.SortFunc(images, func(x, y Found) int {
		if (x.Backup == present) != (y.Backup == present) {
			return map[bool]int{true: -1, false: 1}[x.Backup == present]
		}
		return cmp.Or(y.Latest.Compare(x.Latest), strings.Compare(x.Backup, y.Backup))
	})
	return objects, append(found, images...), err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// readHandle gives the id of the present image; "": it is not said.
func readHandle(ctx context.Context, b Bucket, objects []Object) (string, error) {
	if !slices.ContainsFunc(objects, func(o Object) bool { return o.Key == handleKey }) {
		return "", nil
	}
	text, err := readAll(ctx, b, handleKey)
	if err != nil {
		return "", err
	}
	var h handle
	if json.Unmarshal(text, &h) != nil {
		return "", nil // the newest is as good a guess
	}
	return h.ID, nil
}

// maxText bounds what is read into memory: handles and configurations.
const maxText = 16 << 20

func readAll(ctx context.Context, b Bucket, key string) (text []byte, err error) {
	r, err := b.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	text, err = io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("%s is larger than %d bytes", key, maxText)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", key, err)
	}
	return text, nil
}

// choose takes the layout that is asked for, or the only one.
func choose(bucket string, found []Found, o Options) (Found, error) {
	wanted := ""
	if o.Layout != "" || o.Backup != "" {
		wanted = strings.TrimSpace(fmt.Sprintf("%s %s", o.Layout, o.Backup))
	}
	var fit []Found
	kinds := map[Layout]bool{}
	for _, f := range found {
		if (o.Layout == "" || f.Layout == o.Layout) && (o.Backup == "" || f.Backup == o.Backup) {
			fit = append(fit, f)
			kinds[f.Layout] = true
		}
	}
	if len(kinds) != 1 {
		return Found{}, &LayoutError{bucket, found, wanted}
	}
	return fit[0], nil // of several images, the present one
}

// place says where in a home an object of a layout goes; false: it does not.
func place(l Layout, key string) (path string, ok bool) {
	top, rest, below := strings.Cut(key, "/")
	switch {
	case strings.HasSuffix(key, "/"), key == ".last-sync", top == "backups", key == handleKey, key == "restore-needed":
		return "", false
	case below && top == "skills":
		return "clawd/skills/" + rest, true
	case below && top == "workspace":
		return "clawd/" + rest, true
	case below && top == "openclaw" && l == Rclone, below && top == "clawdbot" && l == Clawdbot:
		return state(rest)
	case below && (top == "openclaw" || top == "clawdbot"):
		return "", false
	case l == Flat:
		return state(key)
	}
	return "", false
}

// state says where in a home a file of the state folder goes.
func state(rest string) (path string, ok bool) {
	switch {
	case rest == "clawdbot.json":
		rest = "openclaw.json"
	case strings.HasSuffix(rest, ".lock"), rest == ".last-sync":
		return "", false // of a gateway that does not run
	}
	return ".openclaw/" + rest, true
}
