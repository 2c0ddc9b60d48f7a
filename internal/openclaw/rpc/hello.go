package rpc

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"time"

	"creel/internal/telemetry"
)

// protocol is the version that is spoken. The gateway refuses ordinary clients
// with any other.
const protocol = 4

// scopes are what creel asks for. Approving a device takes every scope that it
// asks for, so there are more than creel's own calls need.
var scopes = []string{
	"operator.admin", "operator.read", "operator.write", "operator.pairing", "operator.approvals",
	"operator.questions", "operator.talk", "operator.talk.secrets",
}

// connectParams are the parameters of the login.
type connectParams struct {
	MinProtocol int           `json:"minProtocol"`
	MaxProtocol int           `json:"maxProtocol"`
	Client      connectClient `json:"client"`
	Role        string        `json:"role"`
	Scopes      []string      `json:"scopes"`
	Caps        []string      `json:"caps"`
	Auth        connectAuth   `json:"auth"`
}

type connectClient struct {
	ID       string `json:"id"`
	Name     string `json:"displayName"`
	Version  string `json:"version"`
	Platform string `json:"platform"`
	Mode     string `json:"mode"`
}

// connectAuth holds the token in the clear: it is made for the login frame alone.
type connectAuth struct {
	Token string `json:"token"`
}

func login(token telemetry.Secret, version string) connectParams {
	return connectParams{
		MinProtocol: protocol, MaxProtocol: protocol,
		Client: connectClient{ID: "gateway-client", Name: "creel", Version: version, Platform: runtime.GOOS, Mode: "backend"},
		Role:   "operator", Scopes: scopes, Caps: []string{}, Auth: connectAuth{Token: token.Reveal()},
	}
}

// Hello is what the gateway says of itself at a login.
type Hello struct {
	Version string          // such as "2026.9.6"
	BootID  string          // changes with each start, also one within the process
	Scopes  []string        // what was granted
	Methods map[string]bool // what can be called
	Phase   Phase           // of its suspension
	Tick    time.Duration   // at least this often it says something
	Most    int64           // the longest message, in bytes
}

// Bounds of what the gateway may claim of itself.
const (
	defaultTick = 30 * time.Second
	leastTick   = time.Second
	longestTick = 5 * time.Minute
	// longestHello bounds what is read before the login is done; hello-ok has
	// about 20 KB.
	longestHello = 4 << 20
	// longestMessage is policy.maxPayload of OpenClaw 2026.9.6; more is not
	// believed.
	longestMessage = 26214400
)

func parseHello(payload json.RawMessage) (Hello, error) {
	var p struct {
		Type   string `json:"type"`
		Server struct {
			Version string `json:"version"`
			BootID  string `json:"bootId"`
		} `json:"server"`
		Features struct {
			Methods []string `json:"methods"`
		} `json:"features"`
		Snapshot struct {
			Suspension struct {
				Phase Phase `json:"phase"`
			} `json:"suspension"`
		} `json:"snapshot"`
		Auth struct {
			Scopes []string `json:"scopes"`
		} `json:"auth"`
		Policy struct {
			MaxPayload     int64 `json:"maxPayload"`
			TickIntervalMs int64 `json:"tickIntervalMs"`
		} `json:"policy"`
	}
	if err := json.Unmarshal(payload, &p); err != nil {
		return Hello{}, fmt.Errorf("cannot understand the gateway's hello: %w", err)
	}
	if p.Type != "hello-ok" || p.Server.BootID == "" {
		return Hello{}, fmt.Errorf("cannot understand the gateway's hello: it is a %q without a boot id", p.Type)
	}
	h := Hello{Version: p.Server.Version, BootID: p.Server.BootID, Scopes: p.Auth.Scopes, Phase: p.Snapshot.Suspension.Phase, Methods: map[string]bool{}}
	for _, m := range p.Features.Methods {
		h.Methods[m] = true
	}
	h.Tick = defaultTick
	if p.Policy.TickIntervalMs > 0 {
		h.Tick = min(max(milliseconds(p.Policy.TickIntervalMs), leastTick), longestTick)
	}
	h.Most = longestMessage
	if p.Policy.MaxPayload > 0 {
		h.Most = min(max(p.Policy.MaxPayload, longestHello), longestMessage)
	}
	if !slices.Contains(h.Scopes, "operator.admin") {
		return Hello{}, &ScopeError{h.Scopes}
	}
	return h, nil
}
