package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
)

var errNoSnapshots = errors.New("creel takes no snapshots of this gateway: it was not told where the gateway keeps its state, or to take none")

// snapshotsPage is what the list of snapshots shows.
type snapshotsPage struct {
	Kept    bool
	Safety  safety
	Days    []snapshotDay // the newest first
	Count   int
	Stored  int64
	Waiting bool
	Problem string
	Doing   []progress
	Jobs    []jobState
	Compare []store.Snapshot // those that two can be chosen of, the newest first
	More    int              // that are not shown
	Month   calendar
	Chosen  bool // the list is of that month alone
}

type snapshotDay struct {
	At   time.Time
	List []snapshotRow
}

// snapshotRow is a snapshot in the list.
type snapshotRow struct {
	store.Snapshot
	Reason  string
	Now     bool // the present state has grown from it
	Other   bool // it is of another lineage than the present state
	Marks   []mark
	Grown   int64 // bytes more than the one before it
	Of      int64 // size of the largest one
	Earlier store.ID
}

// mark is what was found out about a snapshot.
type mark struct{ Word, Tone, Title string }

// mostSnapshots is how many a page lists.
const mostSnapshots = 300

func snapshotsData(u *UI, r *http.Request) (any, error) {
	p := snapshotsPage{Kept: u.opts.Snapshots != nil, Jobs: u.jobs.underWay()}
	p.Safety = u.safety(r)
	p.Doing = progressOf(p.Safety.Status.Doing)
	all, err := u.snapshotList(r.Context())
	switch {
	case errors.Is(err, errNoSnapshots):
		return p, nil
	case errors.Is(err, errNotYet):
		p.Waiting = true
	case err != nil:
		p.Problem = sentence(err.Error())
	}
	rows := rowsOf(all, p.Safety.Status)
	p.Count = len(rows)
	now := time.Now()
	month, chosen := monthOf(r)
	if p.Chosen = chosen; chosen {
		rows = slices.DeleteFunc(rows, func(row snapshotRow) bool { return !firstOf(row.Time).Equal(month) })
	} else if month = firstOf(now); len(all) > 0 {
		month = firstOf(all[len(all)-1].Time)
	}
	if p.More = max(0, len(rows)-mostSnapshots); p.More > 0 {
		rows = rows[:mostSnapshots]
	}
	for _, row := range rows {
		if n := len(p.Days); n == 0 || !sameDay(p.Days[n-1].At, row.Time) {
			p.Days = append(p.Days, snapshotDay{At: row.Time})
		}
		day := &p.Days[len(p.Days)-1]
		day.List = append(day.List, row)
		p.Compare = append(p.Compare, row.Snapshot)
	}
	p.Month = calendarOf(all, month, now, chosen, func(at time.Time) bool {
		return slices.ContainsFunc(p.Days, func(d snapshotDay) bool { return sameDay(d.At, at) })
	})
	for _, s := range all {
		p.Stored += s.Stored
	}
	return p, nil
}

// rowsOf makes the list, the newest first.
func rowsOf(all []store.Snapshot, st snapshot.Status) []snapshotRow {
	var largest int64
	byID := map[store.ID]store.Snapshot{}
	for _, s := range all {
		largest = max(largest, s.Totals.Bytes)
		byID[s.ID] = s
	}
	rows := make([]snapshotRow, 0, len(all))
	for _, s := range slices.Backward(all) {
		row := snapshotRow{
			Snapshot: s, Reason: reasonWords(s.Reason), Now: s.ID == st.Last || s.ID == st.Parent && st.Last == "",
			Other: st.Lineage != "" && s.Lineage != st.Lineage, Marks: marksOf(s), Of: largest,
		}
		if before, ok := byID[s.Parent]; ok {
			row.Grown, row.Earlier = s.Totals.Bytes-before.Totals.Bytes, before.ID
		}
		rows = append(rows, row)
	}
	return rows
}

func marksOf(s store.Snapshot) []mark {
	var list []mark
	switch {
	case s.Damaged != "":
		list = append(list, mark{"damaged", toneBad, s.Damaged})
	case !s.Verified.IsZero():
		list = append(list, mark{"verified", toneOK, "All of its content was read back and found whole"})
	case !s.Sampled.IsZero():
		list = append(list, mark{"sampled", toneOK, "A part of its content was read back and found whole"})
	}
	if s.Unread > 0 {
		list = append(list, mark{"incomplete", toneWarn, "Files that could not be read when it was taken are not in it"})
	}
	if s.Shrunk != "" {
		list = append(list, mark{"much smaller", toneWarn, s.Shrunk})
	}
	if s.Pinned {
		list = append(list, mark{"pinned", toneBusy, "It is never removed by itself"})
	}
	if s.Meta.Reason == store.BeforeRestore {
		list = append(list, mark{"before a restore", toneOff, "The state that a restore has set aside"})
	}
	return list
}

// snapshotPage is what the page of one snapshot shows.
type snapshotPage struct {
	Row   snapshotRow
	S     store.Snapshot
	Chain []store.Snapshot // what it grew from, the nearest first
	Next  []store.Snapshot // what grew from it
	Now   bool
	All   []store.Snapshot // to compare with, the newest first
}

func (p snapshotPage) pageTitle() string {
	return "Snapshot of " + p.S.Time.Local().Format("2 Jan 2006, 15:04")
}

// longestChain is how many ancestors a page shows.
const longestChain = 6

func snapshotData(u *UI, r *http.Request) (any, error) {
	s, all, err := u.snapshotNamed(r)
	if err != nil {
		return nil, err
	}
	p := snapshotPage{S: s}
	byID := map[store.ID]store.Snapshot{}
	for _, x := range all {
		byID[x.ID] = x
		if x.Parent == s.ID {
			p.Next = append(p.Next, x)
		}
		if x.ID != s.ID {
			p.All = append(p.All, x)
		}
	}
	slices.Reverse(p.All)
	for at := s; len(p.Chain) < longestChain; {
		before, ok := byID[at.Parent]
		if !ok || before.ID == at.ID {
			break
		}
		p.Chain = append(p.Chain, before)
		at = before
	}
	for _, row := range rowsOf(all, u.opts.Snapshots.Status()) {
		if row.ID == s.ID {
			p.Row = row
		}
	}
	p.Now = p.Row.Now
	return p, nil
}

// snapshotNamed finds the snapshot that a request names, and all others.
func (u *UI) snapshotNamed(r *http.Request) (store.Snapshot, []store.Snapshot, error) {
	all, err := u.snapshotList(withPatience(r.Context(), fullPatience))
	if err != nil {
		return store.Snapshot{}, nil, snapshotError(err)
	}
	s, err := byID(all, param(r, "id"))
	return s, all, err
}

func byID(all []store.Snapshot, id string) (store.Snapshot, error) {
	i := slices.IndexFunc(all, func(s store.Snapshot) bool { return string(s.ID) == id })
	if i < 0 {
		return store.Snapshot{}, &pageError{http.StatusNotFound, "No such snapshot", "There is no snapshot " + clip(id, 60) + ". It may have been removed.", ""}
	}
	return all[i], nil
}

// snapshotError makes a page of an error of the store.
func snapshotError(err error) error {
	e := &pageError{http.StatusBadGateway, "The snapshots cannot be shown now", sentence(err.Error()), hintOf(err)}
	switch {
	case errors.Is(err, errNoSnapshots):
		e.status, e.title = http.StatusNotFound, "There are no snapshots"
	case errors.Is(err, store.ErrNotFound):
		e.status, e.title = http.StatusNotFound, "No such snapshot"
	case errors.Is(err, errNotYet):
		e.status, e.text, e.hint = http.StatusServiceUnavailable, "The store has not answered yet.", "Try again in a moment."
	}
	return e
}

// progress is something that is being done to snapshots.
type progress struct {
	What  string
	Stage string
	Since time.Time
	Files int64
	Bytes int64
	Done  int64 // of Of; in bytes, or else in files
	Of    int64 // 0: not known
}

func progressOf(list []snapshot.Doing) []progress {
	out := make([]progress, 0, len(list))
	for _, d := range list {
		p := progress{What: doingWords(d.What), Stage: d.Stage, Since: d.Since, Files: d.Files, Bytes: d.Bytes}
		switch {
		case d.OfBytes > 0:
			p.Done, p.Of = min(d.Bytes, d.OfBytes), d.OfBytes
		case d.OfFiles > 0:
			p.Done, p.Of = min(d.Files, d.OfFiles), d.OfFiles
		}
		out = append(out, p)
	}
	return out
}

func doingWords(what string) string {
	switch what {
	case "snapshot":
		return "Taking a snapshot"
	case "restore":
		return "Restoring"
	case "verify":
		return "Checking a snapshot"
	case "prune":
		return "Removing old snapshots"
	}
	return capital(plain(what))
}

// createSnapshot takes a snapshot. One that is taken within a moment is told of
// by a message, else by a page that shows how far it is.
func createSnapshot(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Snapshots == nil {
		return "", flash{}, errNoSnapshots
	}
	note := clip(strings.TrimSpace(r.PostForm.Get("note")), 200)
	j, err := u.begin(r, "snapshot", "A snapshot is being taken", func(ctx context.Context) (string, string, error) {
		s, err := u.opts.Snapshots.Create(ctx, snapshot.Request{Note: note})
		if err != nil {
			return "", "", err
		}
		return "Snapshot taken: " + fileCount(s.Totals.Files) + ", " + size(s.Totals.Bytes) + "; the gateway was held still for " + cmp.Or(heldFor(s.Frozen), "no time") + ".", Prefix + "snapshots/" + string(s.ID), nil
	})
	if err != nil {
		return "", flash{}, err
	}
	return u.soon(r, j, Prefix+"snapshots")
}

func heldFor(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.Round(time.Millisecond / 10).String()
}

// onSnapshot makes an action of what is done with one snapshot at once.
func onSnapshot(pattern, done string, do func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error)) action {
	return action{pattern: Prefix + "snapshots/{id}/" + pattern, back: Prefix + "snapshots", do: func(u *UI, r *http.Request) (string, flash, error) {
		if u.opts.Snapshots == nil {
			return "", flash{}, errNoSnapshots
		}
		s, err := do(r.Context(), u.opts.Snapshots, store.ID(r.PathValue("id")))
		u.snapshots.forget()
		if err != nil {
			return "", flash{}, err
		}
		m := flash{Tone: toneOK, Text: done}
		if pattern == "remove" {
			return Prefix + "snapshots", m, nil
		}
		return Prefix + "snapshots/" + string(s.ID), m, nil
	}}
}

// verifySnapshot reads a snapshot back, which may take its time.
func verifySnapshot(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Snapshots == nil {
		return "", flash{}, errNoSnapshots
	}
	id := store.ID(r.PathValue("id"))
	j, err := u.begin(r, "verify", "A snapshot is being read back", func(ctx context.Context) (string, string, error) {
		s, err := u.opts.Snapshots.Verify(ctx, id)
		if err != nil {
			return "", "", err
		}
		return "All of it was read back and found whole.", Prefix + "snapshots/" + string(s.ID), nil
	})
	if err != nil {
		return "", flash{}, err
	}
	return u.soon(r, j, Prefix+"snapshots")
}

// restoreSnapshot puts another state in the place of the present one. Whoever has
// asked may leave: it comes to its end.
func restoreSnapshot(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Snapshots == nil {
		return "", flash{}, errNoSnapshots
	}
	ask := snapshot.RestoreRequest{
		ID: store.ID(r.PathValue("id")), NoSnapshot: r.PostForm.Get("no_snapshot") != "", AcceptDamaged: r.PostForm.Get("accept_damaged") != "",
	}
	j, err := u.begin(r, "restore", "A snapshot is being restored", func(ctx context.Context) (string, string, error) {
		done, err := u.opts.Snapshots.Restore(ctx, ask)
		if err != nil {
			return "", "", err
		}
		text := "The state of snapshot " + string(done.ID) + " is in place, and the gateway runs on it."
		if done.Before != "" {
			return text + " What was there before is snapshot " + string(done.Before) + ".", Prefix + "snapshots/" + string(done.Before), nil
		}
		return text, "", nil
	})
	if err != nil {
		return "", flash{}, err
	}
	return Prefix + "jobs/" + j.id, flash{}, nil
}
