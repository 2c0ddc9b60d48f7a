package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
	"creel/internal/problem"
)

// Devices are the devices that may use the gateway, or ask to.
type Devices interface {
	List(ctx context.Context) ([]openclaw.Device, error)
	Approve(ctx context.Context, id string) (openclaw.Device, error)
	ApproveAll(ctx context.Context) ([]openclaw.Device, error)
	Reject(ctx context.Context, id string) (openclaw.Device, error)
	Revoke(ctx context.Context, id string) (openclaw.Device, error)
	Rename(ctx context.Context, id, label string) (openclaw.Device, error)
}

// deviceRoutes are the paths for devices. All answer with {"devices": […]}: the
// list, or those that were changed. ?id= is a device's id or the beginning of it.
//
//	GET  devices
//	POST devices/approve?id=   devices/approve-all   devices/reject?id=
//	POST devices/revoke?id=    devices/rename?id=&label=
func (a *API) deviceRoutes(mux *http.ServeMux) {
	one := func(do func(Devices, *http.Request, string) (openclaw.Device, error)) http.HandlerFunc {
		return a.onDevices(func(d Devices, r *http.Request) ([]openclaw.Device, error) {
			device, err := do(d, r, r.URL.Query().Get("id"))
			return []openclaw.Device{device}, err
		})
	}
	mux.HandleFunc("GET "+controlPrefix+"devices", a.onDevices(func(d Devices, r *http.Request) ([]openclaw.Device, error) { return d.List(r.Context()) }))
	mux.HandleFunc("POST "+controlPrefix+"devices/approve-all", a.onDevices(func(d Devices, r *http.Request) ([]openclaw.Device, error) { return d.ApproveAll(r.Context()) }))
	mux.HandleFunc("POST "+controlPrefix+"devices/approve", one(func(d Devices, r *http.Request, id string) (openclaw.Device, error) {
		return d.Approve(r.Context(), id)
	}))
	mux.HandleFunc("POST "+controlPrefix+"devices/reject", one(func(d Devices, r *http.Request, id string) (openclaw.Device, error) { return d.Reject(r.Context(), id) }))
	mux.HandleFunc("POST "+controlPrefix+"devices/revoke", one(func(d Devices, r *http.Request, id string) (openclaw.Device, error) { return d.Revoke(r.Context(), id) }))
	mux.HandleFunc("POST "+controlPrefix+"devices/rename", one(func(d Devices, r *http.Request, id string) (openclaw.Device, error) {
		return d.Rename(r.Context(), id, r.URL.Query().Get("label"))
	}))
}

// DeviceList is the answer about devices.
type DeviceList struct {
	Devices []openclaw.Device `json:"devices"`
}

func (a *API) onDevices(do func(Devices, *http.Request) ([]openclaw.Device, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.opts.Devices == nil {
			d := problem.Document{
				Status: http.StatusNotFound, Code: "not_openclaw", Title: "This gateway knows no devices",
				Detail: "devices are a thing of OpenClaw, and this gateway is another program", Hint: "For an OpenClaw gateway: `creel up openclaw`.",
			}
			d.Write(w)
			return
		}
		list, err := do(a.opts.Devices, r)
		if err != nil {
			d := a.deviceProblem(err)
			d.Write(w)
			return
		}
		writeJSON(w, http.StatusOK, DeviceList{list})
	}
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
