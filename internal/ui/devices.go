package ui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"creel/internal/openclaw"
)

// devicesPage is what the page of devices shows.
type devicesPage struct {
	Known   bool // the gateway knows devices at all
	Pending []openclaw.Device
	Others  []openclaw.Device
	Waiting bool   // the answer is still on its way
	Problem string // why they cannot be shown
	Ready   bool
}

var errNoDevices = errors.New("this gateway knows no devices")

// deviceList gives the devices as of a moment ago.
func (u *UI) deviceList(ctx context.Context) ([]openclaw.Device, error) {
	if u.devices == nil {
		return nil, errNoDevices
	}
	if !u.opts.Supervisor.Status().Ready() {
		return nil, errors.New("the gateway is not ready, and only it knows its devices")
	}
	ctx, cancel := patient(ctx)
	defer cancel()
	return u.devices.get(ctx)
}

func pendingOf(list []openclaw.Device) []openclaw.Device {
	var out []openclaw.Device
	for _, d := range list {
		if d.State == openclaw.DevicePending {
			out = append(out, d)
		}
	}
	return out
}

func devicesData(u *UI, r *http.Request) (any, error) {
	p := devicesPage{Known: u.devices != nil, Ready: u.opts.Supervisor.Status().Ready()}
	list, err := u.deviceList(r.Context())
	switch {
	case errors.Is(err, errNoDevices):
	case errors.Is(err, errNotYet):
		p.Waiting = true
	case err != nil:
		p.Problem = sentence(err.Error())
	}
	p.Pending = pendingOf(list)
	p.Others = slices.DeleteFunc(slices.Clone(list), func(d openclaw.Device) bool { return d.State == openclaw.DevicePending })
	return p, nil
}

// deviceNamed finds a device for a page that asks about it.
func (u *UI) deviceNamed(r *http.Request) (openclaw.Device, error) {
	list, err := u.deviceList(withPatience(r.Context(), fullPatience))
	if err != nil {
		return openclaw.Device{}, &pageError{http.StatusServiceUnavailable, "The devices cannot be shown now", sentence(err.Error()), "Try again in a moment."}
	}
	id := r.URL.Query().Get("id")
	for _, d := range list {
		if d.ID == id {
			return d, nil
		}
	}
	return openclaw.Device{}, &pageError{http.StatusNotFound, "No such device", "The gateway does not list it any more.", ""}
}

// onDevice makes an action of what is done with one device.
func onDevice(pattern, done string, do func(ctx context.Context, d Devices, id string, form url.Values) (openclaw.Device, error)) action {
	const back = Prefix + "devices"
	return action{pattern: back + "/" + pattern, back: back, do: func(u *UI, r *http.Request) (string, flash, error) {
		if u.devices == nil {
			return "", flash{}, errNoDevices
		}
		d, err := do(r.Context(), u.opts.Devices, r.PostForm.Get("id"), r.PostForm)
		u.devices.forget()
		if err != nil {
			return "", flash{}, err
		}
		return back, flash{Tone: toneOK, Text: d.Title() + " " + done}, nil
	}}
}

// approveAll approves all that wait.
func approveAll(u *UI, r *http.Request) (string, flash, error) {
	if u.devices == nil {
		return "", flash{}, errNoDevices
	}
	list, err := u.opts.Devices.ApproveAll(r.Context())
	u.devices.forget()
	if err != nil {
		return "", flash{}, err
	}
	m := flash{Tone: toneOK, Text: "Nobody was waiting any more."}
	switch n := len(list); {
	case n == 1:
		m.Text = list[0].Title() + " was approved."
	case n > 1:
		m.Text = strconv.Itoa(n) + " devices were approved."
	}
	return "", m, nil
}
