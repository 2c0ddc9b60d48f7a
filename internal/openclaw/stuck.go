package openclaw

import (
	"encoding/json"
	"strings"
)

// Stuck reads what the body of /readyz says of the gateway's event loop, and
// returns in words why it is stuck; "" if it does not say that it is. Callers
// that are not on this machine get a shorter body, without that.
func Stuck(readyz []byte) string {
	var body struct {
		EventLoop struct {
			Degraded bool     `json:"degraded"`
			Reasons  []string `json:"reasons"`
		} `json:"eventLoop"`
	}
	if json.Unmarshal(readyz, &body) != nil || !body.EventLoop.Degraded {
		return ""
	}
	text := "that its event loop is degraded"
	if len(body.EventLoop.Reasons) > 0 {
		text += " (" + strings.Join(body.EventLoop.Reasons, ", ") + ")"
	}
	return text
}
