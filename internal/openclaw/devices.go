package openclaw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"creel/internal/openclaw/rpc"
)

// DeviceState is how a device stands with the gateway.
type DeviceState string

// The states.
const (
	DevicePending DeviceState = "pending" // waits for approval
	DevicePaired  DeviceState = "paired"
	DeviceRevoked DeviceState = "revoked" // listed, and cannot get in
)

// Device is a browser, phone or program that knows the gateway's token, and with
// it wants in or is let in.
type Device struct {
	ID        string      `json:"id"` // 64 hex digits; stays the same, unlike the gateway's request ids
	State     DeviceState `json:"state"`
	Name      string      `json:"name,omitempty"`  // what it calls itself
	Label     string      `json:"label,omitempty"` // what a person calls it
	Platform  string      `json:"platform,omitempty"`
	Client    string      `json:"client,omitempty"`  // its program, such as "openclaw-control-ui"
	Address   string      `json:"address,omitempty"` // IP address
	Role      string      `json:"role,omitempty"`
	Scopes    []string    `json:"scopes"`
	Since     time.Time   `json:"since,omitzero"`     // pending: when it asked; else when it was approved
	LastSeen  time.Time   `json:"last_seen,omitzero"` // not of a pending one
	Connected bool        `json:"connected"`
	Repair    bool        `json:"repair,omitempty"` // pending: it was paired before and asks for more, or again

	request string // pending: the gateway's id of its request
}

// Request is the gateway's id of a pending device's request; it changes with each
// attempt.
func (d Device) Request() string { return d.request }

// Title is what to call it in front of a person.
func (d Device) Title() string {
	for _, name := range []string{d.Label, d.Name, d.Client} {
		if name != "" {
			return name
		}
	}
	return "unnamed"
}

// DeviceErrorCode tells device errors apart; a stable word.
type DeviceErrorCode string

// The codes.
const (
	DeviceUnknown    DeviceErrorCode = "device_unknown"     // no device has that id
	DeviceAmbiguous  DeviceErrorCode = "device_ambiguous"   // several ids begin like that
	DeviceNotPending DeviceErrorCode = "device_not_pending" // it does not wait for approval
	DeviceNotPaired  DeviceErrorCode = "device_not_paired"  // it waits, and was never let in
	DeviceBadRequest DeviceErrorCode = "bad_request"        // no id, no label
)

// DeviceError says why nothing was done about a device.
type DeviceError struct {
	Code    DeviceErrorCode
	Message string
	Next    string
}

func (e *DeviceError) Error() string { return e.Message }

// leastDigits is how much of an id is wanted.
const leastDigits = 4

// Devices are the devices of one gateway.
type Devices struct{ Client *rpc.Client }

// List gives all devices: those that wait first, the newest at the top, then the
// others by name.
func (d Devices) List(ctx context.Context) ([]Device, error) {
	got, err := d.Client.Devices(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Device, 0, len(got.Pending)+len(got.Paired))
	for _, p := range got.Pending {
		list = append(list, Device{
			ID: p.DeviceID, State: DevicePending, Name: p.Name, Platform: p.Platform, Client: p.ClientID, Address: p.RemoteIP, Role: p.Role,
			Scopes: p.Scopes, Since: p.At.Time(), Repair: p.Repair, request: p.RequestID,
		})
	}
	for _, p := range got.Paired {
		state := DevicePaired
		if p.Revoked() {
			state = DeviceRevoked
		}
		list = append(list, Device{
			ID: p.DeviceID, State: state, Name: p.Name, Label: p.Label, Platform: p.Platform, Client: p.ClientID, Address: p.RemoteIP,
			Role: p.Role, Scopes: p.Scopes, Since: p.ApprovedAt.Time(), LastSeen: p.LastSeen.Time(), Connected: p.Connected,
		})
	}
	slices.SortStableFunc(list, byUrgency)
	return list, nil
}

func byUrgency(a, b Device) int {
	aWaits, bWaits := a.State == DevicePending, b.State == DevicePending
	switch {
	case aWaits != bWaits && aWaits:
		return -1
	case aWaits != bWaits:
		return 1
	case aWaits:
		return b.Since.Compare(a.Since)
	}
	return cmp.Or(strings.Compare(strings.ToLower(a.Title()), strings.ToLower(b.Title())), strings.Compare(a.ID, b.ID))
}

// Approve lets a device in that waits. id is its id, or as much of the beginning
// as no other one that waits shares.
func (d Devices) Approve(ctx context.Context, id string) (Device, error) {
	return d.decide(ctx, id, d.Client.ApproveRequest)
}

// ApproveRequest lets the device in that waits with this request of the gateway's.
func (d Devices) ApproveRequest(ctx context.Context, request string) (Device, error) {
	list, err := d.List(ctx)
	if err != nil {
		return Device{}, err
	}
	for _, device := range list {
		if device.State == DevicePending && device.request == request {
			return device, d.Client.ApproveRequest(ctx, request)
		}
	}
	return Device{}, &DeviceError{DeviceUnknown, "no device waits with the request " + request + " any more", seeList}
}

// Reject turns a device away that waits.
func (d Devices) Reject(ctx context.Context, id string) (Device, error) {
	return d.decide(ctx, id, d.Client.RejectRequest)
}

// attempts is how often a decision is made for a device whose request has been
// replaced by another one of its own in between.
const attempts = 3

func (d Devices) decide(ctx context.Context, id string, do func(context.Context, string) error) (Device, error) {
	var err error
	for range attempts {
		var device Device
		if device, err = d.find(ctx, id, DevicePending); err != nil {
			return Device{}, err
		}
		if err = do(ctx, device.request); err == nil {
			return device, nil
		}
		if refused, ok := errors.AsType[*rpc.Error](err); !ok || refused.Code != rpc.CodeInvalidRequest {
			return Device{}, err
		}
	}
	return Device{}, err
}

// ApproveAll lets all devices in that wait, and returns those that it let in. One
// that asks while it is at work may be left waiting.
func (d Devices) ApproveAll(ctx context.Context) ([]Device, error) {
	list, err := d.List(ctx)
	if err != nil {
		return nil, err
	}
	done := []Device{}
	var errs []error
	for _, device := range list {
		if device.State != DevicePending {
			break
		}
		if _, err := d.Approve(ctx, device.ID); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", device.Title(), err))
			continue
		}
		done = append(done, device)
	}
	return done, errors.Join(errs...)
}

// Revoke forgets a device that was let in and closes its connections. With the
// gateway's token it can ask again, and waits for approval then.
func (d Devices) Revoke(ctx context.Context, id string) (Device, error) {
	device, err := d.find(ctx, id, DevicePaired)
	if err != nil {
		return Device{}, err
	}
	return device, d.Client.RemoveDevice(ctx, device.ID)
}

// Rename gives a device that was let in a label.
func (d Devices) Rename(ctx context.Context, id, label string) (Device, error) {
	label = strings.TrimSpace(label)
	if label == "" {
		return Device{}, &DeviceError{DeviceBadRequest, "cannot rename a device to nothing", "Name it: creel devices rename ID LABEL."}
	}
	device, err := d.find(ctx, id, DevicePaired)
	if err != nil {
		return Device{}, err
	}
	device.Label = label
	return device, d.Client.RenameDevice(ctx, device.ID, label)
}

// find looks a device up that waits (DevicePending) or was let in (DevicePaired).
func (d Devices) find(ctx context.Context, id string, state DeviceState) (Device, error) {
	list, err := d.List(ctx)
	if err != nil {
		return Device{}, err
	}
	return pick(list, id, state)
}

// pick finds the one device that is meant. A device that was paired and asks for
// more is in the list twice: state says which of the two.
func pick(list []Device, id string, state DeviceState) (Device, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	if len(id) < leastDigits {
		return Device{}, &DeviceError{DeviceBadRequest, fmt.Sprintf("cannot tell which device is meant by %q: at least %d digits of its id are wanted", id, leastDigits), seeList}
	}
	var found, others []Device
	for _, device := range list {
		switch {
		case !strings.HasPrefix(device.ID, id):
		case (device.State == DevicePending) == (state == DevicePending):
			found = append(found, device)
		default:
			others = append(others, device)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return Device{}, &DeviceError{DeviceAmbiguous, fmt.Sprintf("%d devices have an id that begins with %s", len(found), id), "Give more digits of it: see `creel devices list`."}
	case len(others) == 0:
		return Device{}, &DeviceError{DeviceUnknown, "no device has an id that begins with " + id, seeList}
	case state == DevicePending:
		return Device{}, &DeviceError{DeviceNotPending, others[0].Title() + " does not wait for approval: it is " + string(others[0].State), seeList}
	default:
		return Device{}, &DeviceError{DeviceNotPaired, others[0].Title() + " was not let in yet: it waits for approval", "Use `creel devices approve` or `creel devices reject`."}
	}
}

const seeList = "See `creel devices list`."
