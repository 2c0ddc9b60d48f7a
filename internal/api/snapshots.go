package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"creel/internal/problem"
	"creel/internal/snapshot"
	"creel/internal/snapshot/capture"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/restore"
	"creel/internal/snapshot/store"
)

// Snapshots are the snapshots of the gateway's state.
type Snapshots interface {
	Status() snapshot.Status
	Create(ctx context.Context, r snapshot.Request) (store.Snapshot, error)
	List(ctx context.Context) ([]store.Snapshot, error)
	Find(ctx context.Context, id store.ID) (store.Snapshot, error)
	Files(ctx context.Context, id store.ID) (store.Files, error)
	Verify(ctx context.Context, id store.ID) (store.Snapshot, error)
	Pin(ctx context.Context, id store.ID, pinned bool) (store.Snapshot, error)
	Accept(ctx context.Context, id store.ID) (store.Snapshot, error)
	Remove(ctx context.Context, id store.ID) (store.Snapshot, error)
	Prune(ctx context.Context, dry bool) ([]snapshot.Kept, error)
	Restore(ctx context.Context, r snapshot.RestoreRequest) (snapshot.Restored, error)
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

// snapshotRoutes are the paths for snapshots. An id may be the beginning of one,
// or "latest".
//
//	GET    snapshots                          SnapshotList
//	POST   snapshots?note=                    long; result: store.Snapshot
//	GET    snapshots/{id}                     store.Snapshot
//	DELETE snapshots/{id}                     store.Snapshot
//	POST   snapshots/{id}/verify              long; result: store.Snapshot
//	POST   snapshots/{id}/pin  …/unpin  …/accept    store.Snapshot
//	POST   snapshots/{id}/export?dir=         long; result: Exported
//	GET    snapshots/{id}/files?path=         a FileEntry in each line
//	GET    snapshots/{id}/content?path=       the bytes of a file
//	GET    snapshots/{id}/diff?to=            a FileChange in each line
//	POST   snapshots/restore?id=&fresh=&or_fresh=&no_snapshot=&accept_damaged=
//	                                          long; result: snapshot.Restored
//	POST   snapshots/prune?dry=               PruneResult
//	POST   snapshots/take-over                snapshot.Status
//
// A long call answers with JSON lines (application/x-ndjson): {"doing": …} now
// and then, and in the end {"result": …} or {"problem": …}, a problem document.
func (a *API) snapshotRoutes(mux *http.ServeMux) {
	const p = controlPrefix + "snapshots"
	mux.HandleFunc("GET "+p, a.onSnapshots(a.listSnapshots))
	mux.HandleFunc("POST "+p, a.longly(func(ctx context.Context, s Snapshots, r *http.Request) (any, error) {
		return s.Create(ctx, snapshot.Request{Note: r.URL.Query().Get("note")})
	}))
	mux.HandleFunc("POST "+p+"/prune", a.onSnapshots(prune))
	mux.HandleFunc("POST "+p+"/take-over", a.onSnapshots(takeOver))
	mux.HandleFunc("POST "+p+"/restore", a.longly(restoreSnapshot))
	one := func(do func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error)) http.HandlerFunc {
		return a.onSnapshots(func(s Snapshots, w http.ResponseWriter, r *http.Request) error {
			got, err := do(r.Context(), s, store.ID(r.PathValue("id")))
			if err == nil {
				writeJSON(w, http.StatusOK, got)
			}
			return err
		})
	}
	mux.HandleFunc("GET "+p+"/{id}", one(func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) { return s.Find(ctx, id) }))
	mux.HandleFunc("DELETE "+p+"/{id}", one(func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) { return s.Remove(ctx, id) }))
	mux.HandleFunc("POST "+p+"/{id}/pin", one(func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) {
		return s.Pin(ctx, id, true)
	}))
	mux.HandleFunc("POST "+p+"/{id}/unpin", one(func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) {
		return s.Pin(ctx, id, false)
	}))
	mux.HandleFunc("POST "+p+"/{id}/accept", one(func(ctx context.Context, s Snapshots, id store.ID) (store.Snapshot, error) { return s.Accept(ctx, id) }))
	mux.HandleFunc("POST "+p+"/{id}/verify", a.longly(func(ctx context.Context, s Snapshots, r *http.Request) (any, error) {
		return s.Verify(ctx, store.ID(r.PathValue("id")))
	}))
	mux.HandleFunc("POST "+p+"/{id}/export", a.longly(export))
	mux.HandleFunc("GET "+p+"/{id}/files", a.onSnapshots(listFiles))
	mux.HandleFunc("GET "+p+"/{id}/content", a.onSnapshots(content))
	mux.HandleFunc("GET "+p+"/{id}/diff", a.onSnapshots(diff))
}

// onSnapshots is a handler that needs snapshots; an error becomes a problem.
func (a *API) onSnapshots(do func(s Snapshots, w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.opts.Snapshots == nil {
			noSnapshots().Write(w)
			return
		}
		if err := do(a.opts.Snapshots, w, r); err != nil {
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

func (a *API) listSnapshots(s Snapshots, w http.ResponseWriter, r *http.Request) error {
	all, err := s.List(r.Context())
	if err == nil {
		writeJSON(w, http.StatusOK, SnapshotList{Snapshots: append([]store.Snapshot{}, all...), Status: s.Status()})
	}
	return err
}

func prune(s Snapshots, w http.ResponseWriter, r *http.Request) error {
	out := PruneResult{Dry: r.URL.Query().Get("dry") != ""}
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

func takeOver(s Snapshots, w http.ResponseWriter, r *http.Request) error {
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
func restoreSnapshot(ctx context.Context, s Snapshots, r *http.Request) (any, error) {
	q := r.URL.Query()
	return s.Restore(context.WithoutCancel(ctx), snapshot.RestoreRequest{
		ID: store.ID(q.Get("id")), Fresh: q.Get("fresh") != "", OrFresh: q.Get("or_fresh") != "",
		NoSnapshot: q.Get("no_snapshot") != "", AcceptDamaged: q.Get("accept_damaged") != "",
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

func export(ctx context.Context, s Snapshots, r *http.Request) (any, error) {
	dir := r.URL.Query().Get("dir")
	if !filepath.IsAbs(dir) {
		return nil, &requestError{"dir is no absolute path: " + dir}
	}
	files, err := s.Files(ctx, store.ID(r.PathValue("id")))
	if err != nil {
		return nil, err
	}
	written, err := restore.Export(ctx, files, dir, nil)
	if err = errors.Join(err, files.Close()); err != nil {
		return nil, err
	}
	out := Exported{ID: files.Snapshot().ID, Dir: dir, Files: written.Files, Bytes: written.Bytes}
	for _, l := range written.Losses {
		out.Losses = append(out.Losses, l.Path+": "+l.What+": "+l.Why)
	}
	return out, nil
}

// requestError is a mistake in a request.
type requestError struct{ detail string }

func (e *requestError) Error() string { return e.detail }

// doingEvery is how often a long call says how far it is.
const doingEvery = 200 * time.Millisecond

// line is one line of the answer to a long call.
type line struct {
	Doing   []snapshot.Doing  `json:"doing,omitempty"`
	Result  any               `json:"result,omitempty"`
	Problem *problem.Document `json:"problem,omitempty"`
}

// longly answers to a long call.
func (a *API) longly(do func(ctx context.Context, s Snapshots, r *http.Request) (any, error)) http.HandlerFunc {
	return a.onSnapshots(func(s Snapshots, w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Content-Type", "application/x-ndjson")
		enc, flush := json.NewEncoder(w), http.NewResponseController(w).Flush
		done := make(chan line, 1)
		go func() { // the handler waits for it, unless the client is gone
			got, err := do(r.Context(), s, r)
			if err != nil {
				done <- line{Problem: snapshotProblem(err)}
				return
			}
			done <- line{Result: got}
		}()
		tick := time.NewTicker(doingEvery)
		defer tick.Stop()
		for {
			select {
			case l := <-done:
				_ = enc.Encode(l) // the client may be gone
				return nil
			case <-tick.C:
				if doing := s.Status().Doing; len(doing) > 0 && (enc.Encode(line{Doing: doing}) != nil || flush() != nil) {
					tick.Stop() // nobody reads
				}
			}
		}
	})
}

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

		elsewhere *owner.ElsewhereError
	)
	switch {
	case errors.As(err, &request):
		d.Status, d.Code, d.Title = http.StatusBadRequest, "bad_request", "Bad request"
	case errors.Is(err, store.ErrNotFound):
		d.Status, d.Code, d.Title = http.StatusNotFound, "no_such_snapshot", "No such snapshot"
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
	case errors.As(err, &restless):
		d.Code, d.Title = "state_restless", "The state changes too fast"
	case errors.As(err, &notEmpty):
		d.Status, d.Code, d.Title = http.StatusConflict, "not_empty", "The folder is not empty"
	}
	d.Detail = strings.TrimSpace(d.Detail)
	return d
}
