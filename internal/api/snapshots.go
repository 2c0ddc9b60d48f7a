package api

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"creel/internal/auth"
	"creel/internal/problem"
	"creel/internal/snapshot"
	"creel/internal/snapshot/capture"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
	"creel/internal/surface"
)

// Snapshots are the snapshots of the gateway's state.
type Snapshots interface {
	surface.Snapshots
	Prune(ctx context.Context, dry bool) ([]snapshot.Kept, error)
	TakeOver(ctx context.Context) error
}

// SnapshotList is the answer to GET snapshots.
type SnapshotList struct {
	Snapshots []store.Snapshot `json:"snapshots"` // oldest first
	Status    snapshot.Status  `json:"status"`
}

// PruneResult is the answer to POST snapshots/prune.
type PruneResult struct {
	Snapshots []PrunedSnapshot `json:"snapshots"`
	Removed   int              `json:"removed"`
	Dry       bool             `json:"dry_run"`
}

// PrunedSnapshot is a snapshot and why it is kept; Kept is empty for one that was
// removed.
type PrunedSnapshot struct {
	store.Snapshot
	Kept []string `json:"kept"`
}

// CreateQuery are the parameters of POST snapshots.
type CreateQuery struct {
	Note string `query:"note" max:"1000" doc:"words to remember it by"`
}

// RestoreQuery are the parameters of a restore.
type RestoreQuery struct {
	ID            string `query:"id" max:"100" doc:"the snapshot, or the beginning of its id, or latest; without it the newest good one"`
	Fresh         bool   `query:"fresh" doc:"set the present state aside and begin without one; id is then left out"`
	OrFresh       bool   `query:"or_fresh" doc:"begin without a state if the restore fails"`
	NoSnapshot    bool   `query:"no_snapshot" doc:"do not save the present state first; it is set aside all the same"`
	AcceptDamaged bool   `query:"accept_damaged" doc:"restore databases that are damaged, too"`
}

// PruneQuery are the parameters of a pruning.
type PruneQuery struct {
	Dry bool `query:"dry" doc:"only say what would be removed"`
}

// FilesQuery says where in a snapshot to look.
type FilesQuery struct {
	Path string `query:"path" max:"4096" doc:"relative to the state folder; without it that folder itself"`
	All  bool   `query:"all" doc:"what is in its folders, too"`
}

// ContentQuery names a file of a snapshot.
type ContentQuery struct {
	Path string `query:"path" required:"yes" max:"4096" doc:"relative to the state folder"`
}

// DiffQuery names the other snapshot.
type DiffQuery struct {
	To string `query:"to" required:"yes" max:"100" doc:"the later snapshot, or the beginning of its id, or latest"`
}

// ExportQuery says where the files go.
type ExportQuery struct {
	Dir string `query:"dir" required:"yes" max:"4096" doc:"an absolute path of a folder that does not exist or is empty"`
}

// snapshotRoutes are the paths for snapshots. An id may be the beginning of one,
// or "latest".
func (a *API) snapshotRoutes() []route {
	one := v1("snapshots/{id}")
	return []route{
		handle("GET", v1("snapshots"), auth.Read, "listSnapshots", "All snapshots, the oldest first, and how safe the present state is", onSnapshots(a, listSnapshots), jsonOf[SnapshotList]()),
		handle("POST", v1("snapshots"), auth.Operate, "createSnapshot", "Take a snapshot now", longly(a, func(ctx context.Context, s Snapshots, _ *http.Request, q CreateQuery) (store.Snapshot, error) {
			return s.Create(ctx, snapshot.Request{Note: q.Note})
		}), longAnswers[store.Snapshot]()...),
		handle("GET", one, auth.Read, "getSnapshot", "All that is known of a snapshot", a.oneSnapshot(Snapshots.Find), jsonOf[store.Snapshot]()),
		handle("DELETE", one, auth.Admin, "deleteSnapshot", "Remove a snapshot; never the last good one", a.oneSnapshot(Snapshots.Remove), jsonOf[store.Snapshot]()),
		handle("POST", one+"/pin", auth.Operate, "pinSnapshot", "Keep a snapshot from being removed", a.oneSnapshot(func(s Snapshots, ctx context.Context, id store.ID) (store.Snapshot, error) {
			return s.Pin(ctx, id, true)
		}), jsonOf[store.Snapshot]()),
		handle("POST", one+"/unpin", auth.Operate, "unpinSnapshot", "Let a snapshot be removed again", a.oneSnapshot(func(s Snapshots, ctx context.Context, id store.ID) (store.Snapshot, error) {
			return s.Pin(ctx, id, false)
		}), jsonOf[store.Snapshot]()),
		handle("POST", one+"/accept", auth.Admin, "acceptSnapshot", "Say that a snapshot is rightly smaller than the one before", a.oneSnapshot(Snapshots.Accept), jsonOf[store.Snapshot]()),
		handle("POST", one+"/verify", auth.Operate, "verifySnapshot", "Read a snapshot back and check every byte of it", longly(a, func(ctx context.Context, s Snapshots, r *http.Request, _ none) (store.Snapshot, error) {
			return s.Verify(ctx, store.ID(r.PathValue("id")))
		}), longAnswers[store.Snapshot]()...),
		handle("GET", one+"/files", auth.Read, "listSnapshotFiles", "What is at a path of a snapshot, a file in a line", onSnapshots(a, listFiles), linesOf[FileEntry]()),
		handle("GET", one+"/content", auth.Admin, "getSnapshotFile", "The bytes of a file of a snapshot; they may hold secrets", onSnapshots(a, content), bytesOf(mediaBytes)),
		handle("GET", one+"/diff", auth.Read, "diffSnapshots", "What has changed from one snapshot to another, a file in a line", onSnapshots(a, diff), linesOf[FileChange]()),
		handle("POST", one+"/export", auth.Admin, "exportSnapshot", "Write a snapshot's files into a new plain folder of this machine", longly(a, export), longAnswers[Exported]()...).onSocket(),
		handle("POST", v1("snapshots/restore"), auth.Admin, "restoreSnapshot", "Put another state in the place of the present one, which is saved before and comes back if the gateway does not get ready on the other", longly(a, restoreSnapshot), longAnswers[snapshot.Restored]()...),
		handle("POST", v1("snapshots/prune"), auth.Admin, "pruneSnapshots", "Remove the snapshots that nothing keeps", onSnapshots(a, prune), jsonOf[PruneResult]()),
		handle("POST", v1("snapshots/take-over"), auth.Admin, "takeOver", "Own the gateway, of those machines that share its store", onSnapshots(a, takeOver), jsonOf[snapshot.Status]()),
	}
}

// oneSnapshot is for what is done with one snapshot, quickly.
func (a *API) oneSnapshot(do func(Snapshots, context.Context, store.ID) (store.Snapshot, error)) func(http.ResponseWriter, *http.Request, none) {
	return onSnapshots(a, func(s Snapshots, w http.ResponseWriter, r *http.Request, _ none) error {
		got, err := do(s, r.Context(), store.ID(r.PathValue("id")))
		if err == nil {
			writeJSON(w, http.StatusOK, got)
		}
		return err
	})
}

// onSnapshots hands a request on if there are snapshots, and answers if it fails.
func onSnapshots[Q any](a *API, do func(Snapshots, http.ResponseWriter, *http.Request, Q) error) func(http.ResponseWriter, *http.Request, Q) {
	return func(w http.ResponseWriter, r *http.Request, q Q) {
		if a.opts.Snapshots == nil {
			noSnapshots().Write(w)
			return
		}
		if err := do(a.opts.Snapshots, w, r, q); err != nil {
			snapshotProblem(err).Write(w)
		}
	}
}

func noSnapshots() *problem.Document {
	return &problem.Document{
		Status: http.StatusNotFound, Code: "no_snapshots", Title: "There are no snapshots",
		Detail: "creel was not told where the gateway keeps its state, or to take no snapshots of it",
		Hint:   "Name its folders with --state (gateway.state), and set snapshots.mode to auto.",
	}
}

func listSnapshots(s Snapshots, w http.ResponseWriter, r *http.Request, _ none) error {
	all, err := s.List(r.Context())
	if err == nil {
		writeJSON(w, http.StatusOK, SnapshotList{Snapshots: append([]store.Snapshot{}, all...), Status: s.Status()})
	}
	return err
}

func prune(s Snapshots, w http.ResponseWriter, r *http.Request, q PruneQuery) error {
	out := PruneResult{Dry: q.Dry, Snapshots: []PrunedSnapshot{}}
	kept, err := s.Prune(r.Context(), out.Dry)
	if err != nil {
		return err
	}
	for _, k := range kept {
		if len(k.Why) == 0 {
			out.Removed++
		}
		out.Snapshots = append(out.Snapshots, PrunedSnapshot{k.Snapshot, append([]string{}, k.Why...)})
	}
	writeJSON(w, http.StatusOK, out)
	return nil
}

// takeOverTime bounds the requests to the store.
const takeOverTime = 2 * time.Minute

func takeOver(s Snapshots, w http.ResponseWriter, r *http.Request, _ none) error {
	ctx, cancel := context.WithTimeout(r.Context(), takeOverTime)
	defer cancel()
	if err := s.TakeOver(ctx); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.Status())
	return nil
}

// restoreSnapshot is not ended by the end of whoever has asked: a restore that has
// begun comes to its end.
func restoreSnapshot(ctx context.Context, s Snapshots, _ *http.Request, q RestoreQuery) (snapshot.Restored, error) {
	if q.Fresh && q.ID != "" {
		return snapshot.Restored{}, &requestError{"fresh begins without a state, so there is no id to restore: leave one of them out"}
	}
	return s.Restore(context.WithoutCancel(ctx), snapshot.RestoreRequest{
		ID: store.ID(q.ID), Fresh: q.Fresh, OrFresh: q.OrFresh, NoSnapshot: q.NoSnapshot, AcceptDamaged: q.AcceptDamaged,
	})
}

// Exported is what an export has written.
type Exported struct {
	ID    store.ID `json:"snapshot"`
	Dir   string   `json:"dir"`
	Files int64    `json:"files"`
	Bytes int64    `json:"bytes"`
	// Losses says what the files there do not have of those in the snapshot.
	Losses []string `json:"losses,omitempty"`
}

func export(ctx context.Context, s Snapshots, r *http.Request, q ExportQuery) (out Exported, err error) {
	if !filepath.IsAbs(q.Dir) {
		return out, &requestError{"dir is no absolute path: " + q.Dir}
	}
	files, err := s.Files(ctx, store.ID(r.PathValue("id")))
	if err != nil {
		return out, err
	}
	written, err := restore.Export(ctx, files, q.Dir, nil)
	if err = errors.Join(err, files.Close()); err != nil {
		return out, err
	}
	out = Exported{ID: files.Snapshot().ID, Dir: q.Dir, Files: written.Files, Bytes: written.Bytes}
	for _, l := range written.Losses {
		out.Losses = append(out.Losses, l.Path+": "+l.What+": "+l.Why)
	}
	return out, nil
}

// requestError is a mistake in a request.
type requestError struct{ detail string }

func (e *requestError) Error() string { return e.detail }

// snapshotProblem tells errors about snapshots apart.
func snapshotProblem(err error) *problem.Document {
	d := &problem.Document{Status: http.StatusInternalServerError, Code: "snapshot_failed", Title: "It has failed", Detail: err.Error()}
	var (
		request  *requestError
		access   *store.AccessError
		damaged  *store.DamagedError
		space    *capture.NoSpaceError
		noRoom   *restore.SpaceError
		restless *capture.TooMuchChangeError
		notEmpty *restore.NotEmptyError
		kept     *snapshot.KeptError
		noFile   *noFileError

		elsewhere *owner.ElsewhereError
	)
	switch {
	case errors.As(err, &request):
		d.Status, d.Code, d.Title = http.StatusBadRequest, "bad_request", "Bad request"
	case errors.Is(err, store.ErrNotFound):
		d.Status, d.Code, d.Title = http.StatusNotFound, "no_such_snapshot", "No such snapshot"
	case errors.As(err, &noFile):
		d.Status, d.Code, d.Title = http.StatusNotFound, "no_such_file", "No such file"
		d.Hint = "`creel snapshot ls` shows what is in it."
	case errors.Is(err, snapshot.ErrNoLineage):
		d.Status, d.Code, d.Title = http.StatusConflict, "state_not_in_place", "The state is not in place"
	case errors.Is(err, snapshot.ErrRestoring):
		d.Status, d.Code, d.Title = http.StatusConflict, "restore_under_way", "A restore is under way"
	case errors.Is(err, snapshot.ErrNoLease):
		d.Status, d.Code, d.Title = http.StatusConflict, "not_shared", "The gateway is not shared"
	case errors.As(err, &elsewhere):
		d.Status, d.Code, d.Title, d.Hint = http.StatusConflict, "owned_elsewhere", "Another machine owns the gateway", elsewhere.Hint()
	case errors.As(err, &access):
		d.Status, d.Code, d.Title, d.Hint = http.StatusBadGateway, "store_refuses", "The snapshot store refuses", access.Hint
	case errors.As(err, &damaged):
		d.Code, d.Title = "snapshot_damaged", "The snapshot is damaged"
		d.Hint = "See `creel snapshot list` for an earlier one, and `creel snapshot verify` for how they are."
	case errors.As(err, &space), errors.As(err, &noRoom):
		d.Status, d.Code, d.Title = http.StatusInsufficientStorage, "no_space", "Not enough room"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT): // found out in the midst of it
		d.Status, d.Code, d.Title = http.StatusInsufficientStorage, "no_space", "Not enough room"
		d.Hint = "Make room on the disk that the path is on, and try again."
	case errors.As(err, &restless):
		d.Code, d.Title = "state_restless", "The state changes too fast"
	case errors.As(err, &kept):
		d.Status, d.Code, d.Title = http.StatusConflict, "snapshot_kept", "The snapshot is needed"
	case errors.As(err, &notEmpty):
		d.Status, d.Code, d.Title = http.StatusConflict, "not_empty", "The folder is not empty"
	}
	d.Detail = strings.TrimSpace(d.Detail)
	return d
}
