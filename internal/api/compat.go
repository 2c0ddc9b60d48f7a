package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strconv"

	"creel/internal/auth"
	"creel/internal/gateway"
	"creel/internal/problem"
)

// OpenClaw is what moltworker's names need beside the other options.
type OpenClaw struct {
	// Requests gives the gateway's own list of devices, with the ids of requests,
	// as it gives it.
	Requests func(ctx context.Context) (json.RawMessage, error)
	// Debug tells whether the paths under /debug/ do anything (compat.debug_routes).
	Debug func() bool
	// Versions are those of OpenClaw and of Node.js.
	Versions func() (openclaw, node string)
	// Config gives the text of openclaw.json.
	Config func() ([]byte, error)
	// Environ is what the gateway's environment has beside creel's own.
	Environ func() map[string]bool
}

// The paths that moltworker's Worker answered itself. Of each the exact path is
// creel's, with any method; all others, also below these, are the gateway's. None
// of them is known to OpenClaw 2026.9, which answers unknown ones under /api/ with
// 404; if it will have one of them, creel's comes first.
const (
	healthPath     = "/sandbox-health"
	statusPath     = "/api/status"
	devicesPath    = "/api/admin/devices"
	approveAllPath = devicesPath + "/approve-all"
	approvePath    = devicesPath + "/{requestId}/approve"
	storagePath    = "/api/admin/storage"
	syncPath       = storagePath + "/sync"
	restartPath    = "/api/admin/gateway/restart"
	debugPrefix    = "/debug/"
)

// compatRoutes are moltworker's names, with its shapes. What it did on the way,
// such as starting the container because somebody has asked for the status, creel
// does not do.
func (a *API) compatRoutes() []route {
	if a.opts.OpenClaw == nil {
		return nil
	}
	return append([]route{
		handle("GET", healthPath, auth.Public, "moltworkerHealth", "moltworker: creel itself answers", a.compatHealth, jsonOf[CompatHealth]()),
		handle("GET", statusPath, auth.Public, "moltworkerStatus", "moltworker: how the gateway is; starts nothing", a.compatStatus, jsonOf[CompatStatus]()),
		handle("GET", devicesPath, auth.Read, "moltworkerDevices", "moltworker: the gateway's own list of devices", a.compatDevices, jsonOf[CompatDevices]()),
		handle("POST", approvePath, auth.Operate, "moltworkerApprove", "moltworker: let a device in, by the id of its request or its own", a.compatApprove, jsonOf[CompatApproved]()),
		handle("POST", approveAllPath, auth.Operate, "moltworkerApproveAll", "moltworker: let all devices in that wait", a.compatApproveAll, jsonOf[CompatApprovedAll]()),
		handle("GET", storagePath, auth.Read, "moltworkerStorage", "moltworker: when the state was last saved", a.compatStorage, jsonOf[CompatStorage]()),
		handle("POST", syncPath, auth.Operate, "moltworkerSync", "moltworker: take a snapshot", a.compatSync, jsonOf[CompatSynced](),
			jsonOf[CompatSynced]().with(http.StatusBadRequest), jsonOf[CompatSynced]().with(http.StatusInternalServerError)),
		handle("POST", restartPath, auth.Operate, "moltworkerRestart", "moltworker: restart the gateway; it starts again by itself", a.compatRestart, jsonOf[CompatRestarted]()),
	}, a.debugRoutes()...)
}

// CompatHealth is moltworker's answer to GET /sandbox-health.
type CompatHealth struct {
	Status  string `json:"status"`
	Service string `json:"service"`
	Port    int    `json:"gateway_port"`
}

// usualPort is moltworker's.
const usualPort = 18789

func (a *API) compatHealth(w http.ResponseWriter, _ *http.Request, _ none) {
	writeJSON(w, http.StatusOK, CompatHealth{"ok", "openclaw-sandbox", a.gatewayPort()})
}

func (a *API) gatewayPort() int {
	if _, port, err := net.SplitHostPort(a.opts.Gateway.Status().Addr); err == nil {
		if n, err := strconv.Atoi(port); err == nil {
			return n
		}
	}
	return usualPort
}

// CompatStatus is moltworker's answer to GET /api/status.
type CompatStatus struct {
	OK        bool   `json:"ok"`
	Status    string `json:"status"` // running, not_responding, not_running, starting, start_failed
	ProcessID string `json:"processId,omitempty"`
	// Error says that the gateway does not start; why is told to those who may look.
	Error string `json:"error,omitempty"`
	// RestoreError is told with starting and start_failed; null: none.
	RestoreError *string `json:"restoreError,omitempty" jsonschema:"nullable"`
}

// MarshalJSON gives restoreError where moltworker did.
func (s CompatStatus) MarshalJSON() ([]byte, error) {
	type plain CompatStatus
	if s.Status != "starting" && s.Status != "start_failed" {
		return json.Marshal(plain(s))
	}
	return json.Marshal(struct {
		plain
		RestoreError *string `json:"restoreError"`
	}{plain(s), s.RestoreError})
}

func (a *API) compatStatus(w http.ResponseWriter, r *http.Request, _ none) {
	st := a.opts.Gateway.Status()
	out := CompatStatus{OK: st.Ready(), ProcessID: processID(st)}
	why := "the gateway does not start; its owner sees why"
	if auth.From(r.Context()).May(auth.Read) {
		why = st.Reason
	}
	switch st.State {
	case gateway.Ready:
		out.Status = "running"
	case gateway.Suspect, gateway.Draining, gateway.Stopping:
		out.Status = "not_responding"
	case gateway.Stopped:
		out.Status, out.ProcessID = "not_running", ""
	case gateway.Starting, gateway.Restoring, gateway.Backoff:
		out.Status, out.ProcessID = "starting", ""
	case gateway.Failed:
		out.Status, out.ProcessID, out.Error = "start_failed", "", why
		if st.LastEnd != nil && st.LastEnd.Cause == gateway.CauseRestore {
			out.RestoreError = &why
		}
	}
	writeJSON(w, http.StatusOK, out)
}

// processID names an instance; "": none runs.
func processID(st gateway.Status) string {
	if st.PID == 0 {
		return ""
	}
	return "generation-" + strconv.FormatUint(st.Generation, 10)
}

// CompatRestarted is moltworker's answer to POST /api/admin/gateway/restart.
type CompatRestarted struct {
	Success  bool   `json:"success"`
	Message  string `json:"message"`
	Previous string `json:"previousProcessId,omitempty"`
}

func (a *API) compatRestart(w http.ResponseWriter, r *http.Request, _ none) {
	before := a.opts.Gateway.Status()
	if err := a.opts.Gateway.Restart(r.Context()); err != nil {
		failed(w, err)
		return
	}
	writeJSON(w, http.StatusOK, CompatRestarted{true, "Gateway is restarting; requests wait until it is ready", processID(before)})
}

// compatProblem is a problem document whose member error says what happened, as
// moltworker's clients show it.
func compatProblem(w http.ResponseWriter, d *problem.Document) {
	if d.Detail != "" {
		d.Title = d.Detail
	}
	d.Write(w)
}
