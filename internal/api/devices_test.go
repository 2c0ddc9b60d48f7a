package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/openclaw/rpc"
)

// desk is a Devices that does what it is asked to, and says what that was.
type desk struct {
	err  error
	last string
	none bool // there is no device
}

func (d *desk) one(what string) (openclaw.Device, error) {
	d.last = what
	return openclaw.Device{ID: "abcd", State: openclaw.DevicePending, Name: "Anna"}, d.err
}

func (d *desk) many(what string) ([]openclaw.Device, error) {
	one, err := d.one(what)
	if d.none {
		return nil, err
	}
	return []openclaw.Device{one, one}, err
}

func (d *desk) List(context.Context) ([]openclaw.Device, error)       { return d.many("list") }
func (d *desk) ApproveAll(context.Context) ([]openclaw.Device, error) { return d.many("approve-all") }
func (d *desk) Approve(_ context.Context, id string) (openclaw.Device, error) {
	return d.one("approve " + id)
}
func (d *desk) Reject(_ context.Context, id string) (openclaw.Device, error) {
	return d.one("reject " + id)
}
func (d *desk) Revoke(_ context.Context, id string) (openclaw.Device, error) {
	return d.one("revoke " + id)
}
func (d *desk) Rename(_ context.Context, id, label string) (openclaw.Device, error) {
	return d.one("rename " + id + " " + label)
}

func TestDevices(t *testing.T) {
	d := &desk{}
	a := newAPI(t, &fake{}, &journal{})
	a.opts.Devices = d
	for path, want := range map[string]struct {
		method, did string
		devices     int
	}{
		"devices":                {"GET", "list", 2},
		"devices/approve-all":    {"POST", "approve-all", 2},
		"devices/approve?id=abc": {"POST", "approve abc", 1},
		"devices/reject?id=abc":  {"POST", "reject abc", 1},
		"devices/revoke?id=abc":  {"POST", "revoke abc", 1},
		"devices/rename?" + url.Values{"id": {"abc"}, "label": {"Anna's & Ben's"}}.Encode(): {"POST", "rename abc Anna's & Ben's", 1},
	} {
		w := do(a.Control(), want.method, v1Prefix+path)
		var got struct{ Devices []map[string]any }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK || d.last != want.did || len(got.Devices) != want.devices {
			t.Errorf("%s: %d, did %q: %s", path, w.Code, d.last, w.Body)
		}
		if w := do(behindGate(a, stranger), want.method, v1Prefix+path); w.Code != http.StatusForbidden {
			t.Errorf("%s is public: %d", path, w.Code)
		}
		other := map[string]string{"GET": "POST", "POST": "GET"}[want.method]
		if w := do(a.Control(), other, v1Prefix+path); w.Code == http.StatusOK {
			t.Errorf("%s %s is done", other, path)
		}
	}
}

// Each failure has a stable code, its status and a next step.
func TestDeviceProblems(t *testing.T) {
	ready := gateway.Status{Name: "openclaw", State: gateway.Ready, Generation: 3}
	for name, test := range map[string]struct {
		err    error
		state  gateway.Status
		status int
		code   string
		says   string
	}{
		"unknown":     {&openclaw.DeviceError{Code: openclaw.DeviceUnknown, Message: "no device", Next: "See the list."}, ready, 404, "device_unknown", "See the list."},
		"ambiguous":   {&openclaw.DeviceError{Code: openclaw.DeviceAmbiguous, Message: "two", Next: "More."}, ready, 409, "device_ambiguous", "More."},
		"no id":       {&openclaw.DeviceError{Code: openclaw.DeviceBadRequest, Message: "none", Next: "Give one."}, ready, 400, "bad_request", "Give one."},
		"starting":    {&rpc.NotConnectedError{}, gateway.Status{State: gateway.Starting, Reason: "running, but not ready yet"}, 503, "gateway_not_ready", "not ready yet"},
		"connecting":  {&rpc.NotConnectedError{Generation: 3}, ready, 503, "gateway_not_reachable", "creel restart"},
		"busy":        {&rpc.BusyError{Method: "x"}, ready, 503, "gateway_not_reachable", "moment"},
		"suspended":   {&rpc.Error{Method: "x", Code: rpc.CodeUnavailable, Retryable: true, RetryAfter: 3 * time.Second}, ready, 503, "gateway_refused", "moment"},
		"refused":     {&rpc.Error{Method: "x", Code: rpc.CodeForbidden}, ready, 502, "gateway_refused", "FORBIDDEN"},
		"lost":        {&rpc.LostError{Method: "x", Err: errors.New("gone")}, ready, 502, "gateway_failed", "creel devices list"},
		"some joined": {errors.Join(&openclaw.DeviceError{Code: openclaw.DeviceUnknown, Message: "no", Next: "Next."}), ready, 404, "device_unknown", "Next."},
	} {
		a := newAPI(t, &fake{status: test.state}, &journal{})
		a.opts.Devices = &desk{err: test.err}
		w := do(a.Control(), "POST", v1Prefix+"devices/approve?id=x")
		var got struct{ Code, Hint, Detail string }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != test.status || got.Code != test.code || !strings.Contains(got.Detail+got.Hint, test.says) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if (w.Code == 503) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", name, w.Header().Get("Retry-After"))
		}
	}
	w := do(newAPI(t, &fake{}, &journal{}).Control(), "GET", v1Prefix+"devices")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "not_openclaw") || !strings.Contains(w.Body.String(), "creel up openclaw") {
		t.Errorf("another program: %d %s", w.Code, w.Body)
	}
}
