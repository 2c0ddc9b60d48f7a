package snapshot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"creel/internal/crashpoint"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/snapshot/capture"
	"creel/internal/snapshot/store"
	"creel/internal/snapshot/tree"
)

// ErrNoLineage says that it is not known where the present state came from, so
// that it must not be saved: it may be what a failed restore has left.
var ErrNoLineage = errors.New("the gateway's state is not in place yet, and what is there is not saved; see `creel status`, and `creel snapshot restore`")

// sampleAfterSave is how much of a new snapshot is read back at once.
const sampleAfterSave = 0.05

// Request asks for a snapshot.
type Request struct {
	Reason store.Reason // empty: Asked
	Note   string
}

// The stages at which a snapshot can fail, for metrics.
const (
	stageCapture = "capture"
	stageSave    = "save"
	stageCheck   = "check"
)

// Create takes a snapshot. One that is asked for while another is being taken
// waits for its turn. When Create returns without an error the snapshot is in
// the store and a sample of it was read back.
//
// Errors that callers branch on: ErrNoLineage, those of capture, those of
// store.Store.
func (k *Keeper) Create(ctx context.Context, r Request) (store.Snapshot, error) {
	if r.Reason == "" {
		r.Reason = store.Asked
	}
	ctx, leave, err := k.enter(ctx, mostTime)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer leave()
	return k.takeAndCreate(ctx, r)
}

// takeAndCreate is Create for a Keeper that may be ending.
func (k *Keeper) takeAndCreate(ctx context.Context, r Request) (store.Snapshot, error) {
	release, err := k.take(ctx)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer release()
	if err := k.adopt(); err != nil {
		return store.Snapshot{}, err
	}
	return k.create(ctx, r, k.capture, k.opts.Supervisor.Still)
}

// create is Create for whoever has the turn, or does without: the capturer and
// the stillness are its own.
func (k *Keeper) create(ctx context.Context, r Request, c *capture.Capturer, still capture.Still) (store.Snapshot, error) {
	if missing, err := k.missing(); missing || err != nil {
		return store.Snapshot{}, errors.Join(err, ErrNoLineage)
	}
	begun := time.Now()
	v := &saving{Request: r, k: k, capture: c, still: still}
	s, err := v.save(ctx)
	if err != nil {
		k.saveFailed(r, v.stage, err)
		return s, err
	}
	k.saved(s, r, v.before, time.Since(begun))
	return s, nil
}

// missing tells whether there is no state to save: nobody has said where it comes
// from, or there were files in it when it was saved, and are none now.
func (k *Keeper) missing() (bool, error) {
	r := k.record.get()
	if r.Lineage == "" || r.Last == "" || r.Totals.Files == 0 {
		return r.Lineage == "", nil
	}
	return k.restore.empty()
}

// saving is a snapshot being taken.
type saving struct {
	Request
	k       *Keeper
	capture *capture.Capturer
	still   capture.Still
	stage   string // where it is, or has failed
	// What is known of the state, at the instant of the cut: a restore may come
	// before it, and after it.
	before record
	turn   uint64
}

// save takes the cut and keeps it.
func (v *saving) save(ctx context.Context) (s store.Snapshot, err error) {
	k := v.k
	doing, done := k.begin("snapshot", "copying")
	defer done()
	v.stage = stageCapture
	cut, err := v.capture.Capture(ctx, v.hold, doing)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, cut.Release()) }()
	if v.before.Lineage == "" || cut.Totals.Files == 0 && v.before.Last != "" && v.before.Totals.Files > 0 {
		return s, ErrNoLineage // it went away between the look at it and the cut
	}
	m := store.Meta{
		ID: store.NewID(cut.Time), Gateway: k.opts.Gateway, Time: cut.Time.UTC(), Reason: v.Reason, Note: v.Note,
		Parent: v.before.Parent, Lineage: v.before.Lineage, Machine: machine(), Generation: k.opts.Supervisor.Status().Generation,
		AppVersion: v.before.App, Frozen: cut.Frozen, Roots: k.opts.Roots, Totals: cut.Totals,
	}
	files, logs, err := count(ctx, cut)
	if err != nil {
		return s, err
	}
	m.RootFiles, m.LogBytes = files, &logs
	m.Skipped, m.Omitted = first(cut.Skipped, mostSkipped)
	m.Unread = cut.Unread
	v.stage = stageSave
	lease, err := k.confirmed(ctx)
	if err != nil {
		return s, err
	}
	doing.stage("saving")
	st, err := k.store.get(ctx)
	if err != nil {
		return s, err
	}
	all, err := k.List(ctx)
	if err != nil {
		return s, err
	}
	m.Fence = k.fence(all, lease)
	if m = behind(all, m); !m.After.IsZero() {
		k.log.Warn("the clock is behind that of a snapshot which was taken earlier; the new one counts as newer all the same", "snapshot", m.ID, "after", m.After)
	}
	m.Smaller = shrunk(v.before, m, k.settings().ShrinkTo)
	if !v.before.Tried {
		if err := v.note(func(n *record) { n.Tried = true }); err != nil {
			return s, err
		}
	}
	if s, err = st.Save(ctx, cut, m, v.before.Last, doing); err != nil {
		return s, err
	}
	crashpoint.Passed(crashpoint.SnapshotStored)
	v.stage = stageCheck
	doing.stage("checking")
	if err := st.Verify(ctx, s.ID, sampleAfterSave, doing); err != nil {
		return s, errors.Join(err, k.markDamaged(ctx, st, s.ID, err))
	}
	s.Sampled = time.Now().UTC()
	if err := st.Mark(ctx, s.ID, func(m *store.Marks) { m.Sampled = s.Sampled }); err != nil {
		return s, err
	}
	crashpoint.Passed(crashpoint.SnapshotMarked)
	// Only now: a state whose snapshot cannot be read back is not saved, and the
	// next one must not be made of what this one has left in the store.
	noted := false
	err = v.note(func(n *record) {
		noted = true
		n.Fence, n.Accepted, n.Gone = lease, nil, false
		n.Parent, n.Last, n.LastAt, n.Totals, n.RootFiles, n.LogBytes, n.Mark = s.ID, s.ID, s.Time, s.Totals, s.RootFiles, s.LogBytes, cut.Mark
	})
	if err == nil {
		if noted {
			k.savedAs(cut.Mark) // if the state is another one since then, no look finds this mark
		}
		crashpoint.Passed(crashpoint.SnapshotRecorded)
	}
	return s, err
}

// count counts as Totals do: the files of each root, and the bytes of logs.
func count(ctx context.Context, t tree.Tree) (files map[string]int64, logs int64, err error) {
	files = map[string]int64{}
	for e, err := range t.Walk(ctx) {
		if err != nil {
			return nil, 0, err
		}
		if e.Kind == tree.Dir {
			continue
		}
		name, _ := tree.SplitRoot(e.Path)
		files[name]++
		if e.Kind == tree.File && e.LinkTo == "" && isLog(e.Path) {
			logs += e.Size
		}
	}
	return files, logs, nil
}

// isLog tells whether a file is, by its name, a log that SQLite keeps beside a database:
// what it holds moves to the database, and back to nothing, by itself
// (https://sqlite.org/tempfiles.html).
func isLog(path string) bool {
	return strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-journal") || strings.HasSuffix(path, "-shm")
}

// hold is the stillness of the cut.
func (v *saving) hold(ctx context.Context, do func(context.Context) error) (time.Duration, error) {
	frozen, err := v.still(ctx, func(ctx context.Context) error {
		v.before, v.turn = v.k.record.get(), v.k.turns.Load()
		return do(ctx)
	})
	if errors.Is(err, gateway.ErrLetGo) {
		err = fmt.Errorf("%w: %w", capture.ErrLetGo, err)
	}
	return frozen, err
}

// note changes the record, if it is still about the state that was saved.
func (v *saving) note(change func(*record)) error {
	return v.k.record.change(func(n *record) {
		if v.k.turns.Load() == v.turn {
			change(n)
		}
	})
}

// markDamaged notes what was found out about a snapshot.
func (k *Keeper) markDamaged(ctx context.Context, st store.Store, id store.ID, err error) error {
	var damaged *store.DamagedError
	if !errors.As(err, &damaged) {
		return nil // it could not be read now, which says nothing about it
	}
	fields := map[string]any{"snapshot": id}
	if len(damaged.Paths) > 0 {
		fields["paths"], fields["more_paths"] = first(damaged.Paths, mostSkipped)
	}
	k.event(event.SnapshotDamaged, err.Error(), fields)
	return st.Mark(ctx, id, func(m *store.Marks) { m.Damaged = damaged.Error() })
}

// saved tells of a snapshot, and removes what it has made dispensable.
func (k *Keeper) saved(s store.Snapshot, r Request, before record, took time.Duration) {
	k.clear(TroubleSave)
	k.clear(TroubleOverdue)
	k.clear(TroubleRestore) // what has failed then is past
	k.sayUnread(s)
	lacks := ""
	if s.Unread > 0 {
		lacks = fmt.Sprintf("; %d files could not be read, and are not in it", s.Unread)
	}
	k.opts.Recorder.SnapshotTaken(s.Time, s.Frozen, took, s.Totals.Files, s.Totals.Bytes, s.Stored)
	k.event(event.SnapshotTaken, fmt.Sprintf("snapshot %s: %d files with %d bytes, %d added to the store; held still for %v%s", s.ID, s.Totals.Files, s.Totals.Bytes, s.Stored, s.Frozen.Round(100*time.Microsecond), lacks),
		map[string]any{"snapshot": s.ID, "reason": r.Reason, "seconds": took.Seconds()})
	if s.Shrunk != "" {
		k.set(TroubleShrunk, shrunkMessage(s))
		k.event(event.SnapshotShrunk, s.Shrunk, map[string]any{"snapshot": s.ID, "before": before.Last})
	}
}

// sayUnread has the trouble about files that cannot be read say what is so of the newest
// snapshot.
func (k *Keeper) sayUnread(s store.Snapshot) {
	if s.Unread == 0 {
		k.clear(TroubleUnread)
		return
	}
	k.set(TroubleUnread, fmt.Sprintf("snapshot %s lacks %d files that could not be read; `creel snapshot show %s` names them. Those before it are kept", s.ID, s.Unread, s.ID))
}

func shrunkMessage(s store.Snapshot) string {
	return fmt.Sprintf("snapshot %s is much smaller than the one before: %s; the one before is kept until you `creel snapshot accept %s` or `creel snapshot remove %s`", s.ID, s.Shrunk, s.ID, s.ID)
}

func (k *Keeper) saveFailed(r Request, stage string, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, ErrEnding) {
		return // whoever asked has thought better of it, or creel ends
	}
	k.opts.Recorder.SnapshotFailed(stage)
	if stage != stageCapture {
		k.storeHealth(err)
	}
	k.set(TroubleSave, "the last snapshot has failed: "+err.Error())
	k.event(event.SnapshotFailed, fmt.Sprintf("no snapshot could be taken: %v", err), map[string]any{"reason": r.Reason, "stage": stage})
}

// Finish saves what the gateway has left when it was stopped for creel's own end,
// if that is in no snapshot yet.
func (k *Keeper) Finish(ctx context.Context) error {
	if r := k.record.get(); k.opts.Manual || r.Lineage == "" || r.Trial != 0 {
		return nil
	}
	mark, err := k.look(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	saved := mark == k.changes.savedMark
	k.mu.Unlock()
	if saved {
		return nil
	}
	_, err = k.takeAndCreate(ctx, Request{Reason: store.OnStop})
	return err
}

// look is a look at the state. It waits for whatever else looks or captures.
func (k *Keeper) look(ctx context.Context) (mark string, err error) {
	release, err := k.take(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	return k.capture.Mark(ctx)
}

// adopt takes a state for granted that was there when creel began to look after
// it, and has no history yet. A state that is missing stays unsaved until a
// launch has put one in place.
func (k *Keeper) adopt() error {
	if err := k.record.usable(); err != nil {
		return err
	}
	if k.record.get().Lineage != "" {
		return nil
	}
	empty, err := k.restore.empty()
	if err != nil {
		return err
	}
	if empty {
		return ErrNoLineage
	}
	return k.record.change(func(r *record) { r.Lineage, r.Began = newLineage(), began.found })
}

// began are the words for how a lineage came to this machine.
var began = struct{ fresh, found, restored string }{"fresh", "found", "restored"}

func machine() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// mostSkipped is how many of the files that are not in a snapshot it names.
const mostSkipped = 100

// first gives the first n of a list, and how many there are beyond.
func first[T any](list []T, n int) ([]T, int) {
	if len(list) <= n {
		return list, 0
	}
	return list[:n], len(list) - n
}
