package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// CompatDevices is moltworker's answer to GET /api/admin/devices: what the gateway
// says, unchanged.
type CompatDevices struct {
	Pending []map[string]any `json:"pending"` // requestId, deviceId, displayName, platform, clientId, clientMode, role, roles, scopes, remoteIp, ts
	Paired  []map[string]any `json:"paired"`  // deviceId, …, createdAtMs, approvedAtMs
}

// CompatApproved is moltworker's answer to an approval.
type CompatApproved struct {
	Success   bool   `json:"success"`
	RequestID string `json:"requestId"`
	Message   string `json:"message"`
	Stdout    string `json:"stdout"`
	Stderr    string `json:"stderr"`
}

// CompatApprovedAll is moltworker's answer to the approval of all.
type CompatApprovedAll struct {
	Approved []string        `json:"approved"` // ids of requests
	Failed   []CompatRefused `json:"failed,omitzero"`
	Message  string          `json:"message"`
}

// CompatRefused is a device that was not let in.
type CompatRefused struct {
	RequestID string `json:"requestId"`
	Success   bool   `json:"success"`
	Error     string `json:"error,omitempty"`
}

// requestBook remembers which device a request was of. A device that tries again
// has another request, and whoever looks at an older list names the one that is
// gone: moltworker's users could approve none then.
type requestBook struct {
	mu      sync.Mutex
	devices map[string]string // by id of request
	order   []string
}

// mostRequests is how many are remembered.
const mostRequests = 1000

func (b *requestBook) note(request, device string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.devices == nil {
		b.devices = map[string]string{}
	}
	if _, ok := b.devices[request]; !ok {
		b.order = append(b.order, request)
	}
	b.devices[request] = device
	if len(b.order) > mostRequests {
		delete(b.devices, b.order[0])
		b.order = b.order[1:]
	}
}

// device is whose request it was; an id that is of none may be the device's own.
func (b *requestBook) device(id string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if device, ok := b.devices[id]; ok {
		return device
	}
	return id
}

// waiting is a request as far as creel looks at it.
type waiting struct {
	RequestID string `json:"requestId"`
	DeviceID  string `json:"deviceId"`
}

// requests asks the gateway for its list of devices.
func (a *API) requests(ctx context.Context) (CompatDevices, []waiting, error) {
	raw, err := a.opts.OpenClaw.Requests(ctx)
	if err != nil {
		return CompatDevices{}, nil, err
	}
	var out CompatDevices
	var pending struct{ Pending []waiting }
	if err := json.Unmarshal(raw, &out); err != nil {
		return CompatDevices{}, nil, fmt.Errorf("OpenClaw's list of devices cannot be understood: %w", err)
	}
	if err := json.Unmarshal(raw, &pending); err != nil {
		return CompatDevices{}, nil, fmt.Errorf("OpenClaw's list of devices cannot be understood: %w", err)
	}
	if out.Pending == nil {
		out.Pending = []map[string]any{}
	}
	if out.Paired == nil {
		out.Paired = []map[string]any{}
	}
	for _, p := range pending.Pending {
		a.known.note(p.RequestID, p.DeviceID)
	}
	return out, pending.Pending, nil
}

func (a *API) compatDevices(w http.ResponseWriter, r *http.Request, _ none) {
	list, _, err := a.requests(r.Context())
	if err != nil {
		compatProblem(w, a.deviceProblem(err))
		return
	}
	writeJSON(w, http.StatusOK, list)
}

func (a *API) compatApprove(w http.ResponseWriter, r *http.Request, _ none) {
	id := r.PathValue("requestId")
	if _, _, err := a.requests(r.Context()); err != nil {
		compatProblem(w, a.deviceProblem(err))
		return
	}
	device, err := a.opts.Devices.Approve(r.Context(), a.known.device(id))
	if err != nil {
		d := a.deviceProblem(err)
		if d.Status != http.StatusNotFound && d.Status != http.StatusConflict && d.Status != http.StatusBadRequest {
			compatProblem(w, d)
			return
		}
		writeJSON(w, http.StatusOK, CompatApproved{RequestID: id, Message: "Approval may have failed", Stderr: err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, CompatApproved{Success: true, RequestID: id, Message: "Device approved", Stdout: "Approved " + device.Title()})
}

func (a *API) compatApproveAll(w http.ResponseWriter, r *http.Request, _ none) {
	_, pending, err := a.requests(r.Context())
	if err != nil {
		compatProblem(w, a.deviceProblem(err))
		return
	}
	out := CompatApprovedAll{Approved: []string{}}
	if len(pending) == 0 {
		out.Message = "No pending devices to approve"
		writeJSON(w, http.StatusOK, out)
		return
	}
	out.Failed = []CompatRefused{}
	for _, p := range pending {
		if _, err := a.opts.Devices.Approve(r.Context(), p.DeviceID); err != nil {
			out.Failed = append(out.Failed, CompatRefused{RequestID: p.RequestID, Error: err.Error()})
			continue
		}
		out.Approved = append(out.Approved, p.RequestID)
	}
	out.Message = fmt.Sprintf("Approved %d of %d device(s)", len(out.Approved), len(pending))
	writeJSON(w, http.StatusOK, out)
}
