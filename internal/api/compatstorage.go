package api

import (
	"net/http"
	"strings"
	"time"

	"creel/internal/snapshot"
	"creel/internal/snapshot/store"
)

// CompatStorage is moltworker's answer to GET /api/admin/storage, with the members
// of both of its times: its page looked for lastSync when the server gave
// lastBackupId, and said "never" for ever.
type CompatStorage struct {
	Configured   bool       `json:"configured"`
	Missing      []string   `json:"missing,omitempty"`
	Message      string     `json:"message"`
	LastSync     *time.Time `json:"lastSync" jsonschema:"nullable"`     // null: no snapshot yet
	LastBackupID *string    `json:"lastBackupId" jsonschema:"nullable"` // likewise; 0-9, a-f and - only
}

// CompatSynced is moltworker's answer to POST /api/admin/storage/sync.
type CompatSynced struct {
	Success  bool       `json:"success"`
	Message  string     `json:"message,omitempty"`
	LastSync *time.Time `json:"lastSync,omitempty"`
	BackupID string     `json:"backupId,omitempty"`
	Error    string     `json:"error,omitempty"`
	Details  string     `json:"details,omitempty"`
}

// notConfigured is what moltworker's clients look for in an error.
const notConfigured = "Snapshots are not configured"

func (a *API) compatStorage(w http.ResponseWriter, _ *http.Request, _ none) {
	if a.opts.Snapshots == nil {
		writeJSON(w, http.StatusOK, CompatStorage{Missing: []string{"snapshots.mode"}, Message: notConfigured + ": the state is lost with this machine. Set snapshots.mode to auto."})
		return
	}
	st := a.opts.Snapshots.Status()
	out := CompatStorage{Configured: true, Message: "The state is saved to " + st.Where + "."}
	if st.Last != "" {
		id := backupID(st.Last)
		out.LastSync, out.LastBackupID = &st.LastAt, &id
	}
	writeJSON(w, http.StatusOK, out)
}

func (a *API) compatSync(w http.ResponseWriter, r *http.Request, _ none) {
	if a.opts.Snapshots == nil {
		writeJSON(w, http.StatusBadRequest, CompatSynced{Error: notConfigured, Details: "Set snapshots.mode to auto."})
		return
	}
	got, err := a.opts.Snapshots.Create(r.Context(), snapshot.Request{})
	if err != nil {
		d := snapshotProblem(err)
		writeJSON(w, http.StatusInternalServerError, CompatSynced{Error: d.Title, Details: strings.TrimSpace(d.Detail + " " + d.Hint)})
		return
	}
	writeJSON(w, http.StatusOK, CompatSynced{Success: true, Message: "Snapshot created successfully", LastSync: &got.Time, BackupID: backupID(got.ID)})
}

// backupID writes a snapshot's id in moltworker's letters:
// "20261126T015400Z-7f3a" is "20261126-015400-7f3a".
func backupID(id store.ID) string {
	return strings.ReplaceAll(strings.Replace(string(id), "T", "-", 1), "Z", "")
}
