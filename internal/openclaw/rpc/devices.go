package rpc

import "context"

// operatorRole is the role of people's devices.
const operatorRole = "operator"

// Pending is a device that waits for approval.
type Pending struct {
	RequestID string   `json:"requestId"` // changes whenever the device tries again with other wishes
	DeviceID  string   `json:"deviceId"`  // 64 hex digits: SHA-256 of its public key
	Name      string   `json:"displayName"`
	Platform  string   `json:"platform"`
	ClientID  string   `json:"clientId"`
	Role      string   `json:"role"`
	Scopes    []string `json:"scopes"` // what it asks for
	RemoteIP  string   `json:"remoteIp"`
	Repair    bool     `json:"isRepair"` // it was paired before
	At        Millis   `json:"ts"`
}

// Paired is a device that may connect.
type Paired struct {
	DeviceID    string        `json:"deviceId"`
	Name        string        `json:"displayName"`
	Label       string        `json:"operatorLabel"` // given by a person; empty: none
	Platform    string        `json:"platform"`
	ClientID    string        `json:"clientId"`
	Role        string        `json:"role"`
	Scopes      []string      `json:"scopes"`
	RemoteIP    string        `json:"remoteIp"`
	ApprovedVia string        `json:"approvedVia"` // "owner": by a person; "silent": as a local client
	ApprovedAt  Millis        `json:"approvedAtMs"`
	LastSeen    Millis        `json:"lastSeenAtMs"`
	Connected   bool          `json:"connected"`
	Tokens      []DeviceToken `json:"tokens"`
}

// DeviceToken is what a device logs in with; its value is never told.
type DeviceToken struct {
	Role      string   `json:"role"`
	Scopes    []string `json:"scopes"`
	CreatedAt Millis   `json:"createdAtMs"`
	LastUsed  Millis   `json:"lastUsedAtMs"`
	RevokedAt Millis   `json:"revokedAtMs"`
}

// Revoked tells whether the device has tokens and none of them is good any more.
func (p Paired) Revoked() bool {
	for _, t := range p.Tokens {
		if t.RevokedAt == 0 {
			return false
		}
	}
	return len(p.Tokens) > 0
}

// Devices are all devices that the gateway knows.
type Devices struct {
	Pending []Pending `json:"pending"`
	Paired  []Paired  `json:"paired"`
}

// Devices lists the gateway's devices.
func (c *Client) Devices(ctx context.Context) (Devices, error) {
	var d Devices
	err := c.Call(ctx, "device.pair.list", nil, &d)
	return d, err
}

type requestRef struct {
	RequestID string `json:"requestId"`
}

type deviceRef struct {
	DeviceID string `json:"deviceId"`
	Label    string `json:"label,omitempty"`
	Role     string `json:"role,omitempty"`
}

// ApproveRequest lets in a device that waits, with the scopes that it asks for.
// *Error with CodeInvalidRequest: there is no such request any more.
func (c *Client) ApproveRequest(ctx context.Context, requestID string) error {
	return c.Call(ctx, "device.pair.approve", requestRef{requestID}, nil)
}

// RejectRequest turns a device away that waits. It may ask again.
func (c *Client) RejectRequest(ctx context.Context, requestID string) error {
	return c.Call(ctx, "device.pair.reject", requestRef{requestID}, nil)
}

// RemoveDevice forgets a paired device and closes its connections (4001). It may
// ask to be paired again.
func (c *Client) RemoveDevice(ctx context.Context, deviceID string) error {
	return c.Call(ctx, "device.pair.remove", deviceRef{DeviceID: deviceID}, nil)
}

// RenameDevice gives a paired device a label. It comes before the name that the
// device gives itself, and outlives a repair.
func (c *Client) RenameDevice(ctx context.Context, deviceID, label string) error {
	return c.Call(ctx, "device.pair.rename", deviceRef{DeviceID: deviceID, Label: label}, nil)
}

// RevokeToken makes a device's token worthless and closes its connections. The
// device stays listed; what it can do next is to ask to be paired again.
func (c *Client) RevokeToken(ctx context.Context, deviceID string) error {
	return c.Call(ctx, "device.token.revoke", deviceRef{DeviceID: deviceID, Role: operatorRole}, nil)
}
