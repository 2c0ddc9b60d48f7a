package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"creel/internal/auth"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
	"creel/internal/problem"
)

// DeviceQuery names a device.
type DeviceQuery struct {
	ID string `query:"id" max:"200" doc:"the device's id, or as much of its beginning as no other one shares (four digits at least)"`
}

// RenameQuery names a device, and gives it a name.
type RenameQuery struct {
	ID    string `query:"id" max:"200" doc:"as of approve"`
	Label string `query:"label" max:"200" doc:"what to call it from now on"`
}

// DeviceList is the answer about devices: all of them, or those that were changed.
type DeviceList struct {
	Devices []openclaw.Device `json:"devices"`
}

func (a *API) deviceRoutes() []route {
	one := func(name, summary string, do func(Devices, context.Context, string) (openclaw.Device, error)) route {
		return handle("POST", v1("devices/"+name), auth.Operate, name+"Device", summary, func(w http.ResponseWriter, r *http.Request, q DeviceQuery) {
			a.onDevices(w, func(d Devices) ([]openclaw.Device, error) {
				device, err := do(d, r.Context(), q.ID)
				return []openclaw.Device{device}, err
			})
		}, jsonOf[DeviceList]())
	}
	return []route{
		handle("GET", v1("devices"), auth.Read, "listDevices", "The devices that may use OpenClaw or ask to, those that wait first", func(w http.ResponseWriter, r *http.Request, _ none) {
			a.onDevices(w, func(d Devices) ([]openclaw.Device, error) { return d.List(r.Context()) })
		}, jsonOf[DeviceList]()),
		handle("POST", v1("devices/approve-all"), auth.Operate, "approveAllDevices", "Let all devices in that wait", func(w http.ResponseWriter, r *http.Request, _ none) {
			a.onDevices(w, func(d Devices) ([]openclaw.Device, error) { return d.ApproveAll(r.Context()) })
		}, jsonOf[DeviceList]()),
		one("approve", "Let a device in that waits", Devices.Approve),
		one("reject", "Turn a device away that waits; it may ask again", Devices.Reject),
		one("revoke", "Shut out a device that was let in; it has to be let in again", Devices.Revoke),
		handle("POST", v1("devices/rename"), auth.Operate, "renameDevice", "Give a device that was let in a name of your own", func(w http.ResponseWriter, r *http.Request, q RenameQuery) {
			a.onDevices(w, func(d Devices) ([]openclaw.Device, error) {
				device, err := d.Rename(r.Context(), q.ID, q.Label)
				return []openclaw.Device{device}, err
			})
		}, jsonOf[DeviceList]()),
	}
}

// noDevices is the answer where there is nothing of the kind.
func noDevices() *problem.Document {
	return &problem.Document{
		Status: http.StatusNotFound, Code: "not_openclaw", Title: "This gateway knows no devices",
		Detail: "devices are a thing of OpenClaw, and this gateway is another program", Hint: "For an OpenClaw gateway: `creel up openclaw`.",
	}
}

func (a *API) onDevices(w http.ResponseWriter, do func(Devices) ([]openclaw.Device, error)) {
	if a.opts.Devices == nil {
		noDevices().Write(w)
		return
	}
	list, err := do(a.opts.Devices)
	if err != nil {
		a.deviceProblem(err).Write(w)
		return
	}
	for i := range list {
		if list[i].Scopes == nil {
			list[i].Scopes = []string{}
		}
	}
	writeJSON(w, http.StatusOK, DeviceList{append([]openclaw.Device{}, list...)})
}

// deviceProblem tells why nothing was done, and what to do about it.
func (a *API) deviceProblem(err error) *problem.Document {
	st := a.opts.Gateway.Status()
	d := &problem.Document{Gateway: st.Name, Generation: st.Generation, Detail: err.Error()}
	var (
		device  *openclaw.DeviceError
		absent  *rpc.NotConnectedError
		refused *rpc.Error
		busy    *rpc.BusyError
	)
	switch {
	case errors.As(err, &device):
		d.Status, d.Code, d.Title, d.Hint = http.StatusConflict, string(device.Code), "Nothing was done", device.Next
		switch device.Code {
		case openclaw.DeviceUnknown:
			d.Status = http.StatusNotFound
		case openclaw.DeviceBadRequest:
			d.Status = http.StatusBadRequest
		case openclaw.DeviceAmbiguous, openclaw.DeviceNotPending, openclaw.DeviceNotPaired:
		}
	case errors.As(err, &absent) && !st.Ready():
		d.Status, d.Code, d.Title, d.RetryAfter = http.StatusServiceUnavailable, "gateway_not_ready", "The gateway is not ready", time.Second
		d.Detail = "OpenClaw cannot be asked now: it is " + string(st.State) + ": " + st.Reason
		d.Hint = "Wait for it (`creel status`), or `creel start`."
	case errors.As(err, &absent), errors.As(err, &busy):
		d.Status, d.Code, d.Title, d.RetryAfter = http.StatusServiceUnavailable, "gateway_not_reachable", "OpenClaw cannot be asked now", time.Second
		d.Hint = "Try again in a moment; if that does not help: `creel logs`, `creel restart`."
	case errors.As(err, &refused):
		d.Status, d.Code, d.Title = http.StatusBadGateway, "gateway_refused", "OpenClaw refuses"
		if refused.Retryable {
			d.Status, d.RetryAfter, d.Hint = http.StatusServiceUnavailable, max(refused.RetryAfter, time.Second), "Try again in a moment."
		}
	default:
		d.Status, d.Code, d.Title, d.Hint = http.StatusBadGateway, "gateway_failed", "OpenClaw did not answer", "See `creel devices list` for what has come of it."
	}
	return d
}
