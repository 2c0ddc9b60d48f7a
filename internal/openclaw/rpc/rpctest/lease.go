package rpctest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// lease is the gateway's suspension, with the rules of gateway.suspend.*.
type lease struct {
	phase   string // accepting, draining or prepared
	request string // the params that it was made with
	id      string
	made    int
	busy    int // so many more looks find work under way
}

// Busy makes the next n looks of a suspension find work under way.
func (g *Gateway) Busy(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease.busy = n
}

// SuspendAs suspends the gateway on behalf of somebody who asked with those
// parameters.
func (g *Gateway) SuspendAs(params string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lease.grant(json.RawMessage(params), "prepared")
}

// Phase is that of its suspension.
func (g *Gateway) Phase() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lease.phase
}

// allows tells whether a method is answered now.
func (l *lease) allows(method string) bool {
	return l.phase == "accepting" || strings.HasPrefix(method, "gateway.suspend.")
}

func (l *lease) grant(request json.RawMessage, phase string) {
	l.made++
	l.phase, l.request, l.id = phase, string(request), fmt.Sprintf("lease-%d", l.made)
}

var blockers = []map[string]any{{"kind": "embedded-run", "count": 1, "message": "1 active embedded run(s)"}}

func unavailable(method, reason, message string) map[string]any {
	return map[string]any{
		"code": "UNAVAILABLE", "message": message, "retryable": true, "retryAfterMs": 1,
		"details": map[string]any{"method": method, "reason": reason},
	}
}

func (l *lease) call(method string, params json.RawMessage) (payload, refusal any) {
	var p struct {
		SuspensionID string `json:"suspensionId"`
		Drain        bool   `json:"drain"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, map[string]any{"code": "INVALID_REQUEST", "message": err.Error()}
	}
	switch method {
	case "gateway.suspend.prepare":
		return l.prepare(params, p.Drain)
	case "gateway.suspend.status":
		if l.phase == "accepting" {
			return map[string]any{"status": "running"}, nil
		}
		return l.look(), nil
	case "gateway.suspend.resume":
		if l.phase != "accepting" && p.SuspensionID != l.id {
			return nil, map[string]any{"code": "INVALID_REQUEST", "message": "suspension id mismatch"}
		}
		was := l.phase != "accepting"
		l.phase = "accepting"
		return map[string]any{"ok": true, "status": "running", "resumed": was}, nil
	}
	if !l.allows(method) {
		return nil, unavailable(method, "gateway-suspending", method+" unavailable during gateway suspension")
	}
	return nil, map[string]any{"code": "INVALID_REQUEST", "message": "unknown method: " + method}
}

func (l *lease) prepare(params json.RawMessage, drain bool) (payload, refusal any) {
	if l.phase != "accepting" {
		if l.request != string(params) {
			return nil, unavailable("gateway.suspend.prepare", "gateway-suspension-conflict", "another gateway suspension is already prepared")
		}
		return l.look(), nil
	}
	if l.busy > 0 && !drain {
		l.busy--
		return map[string]any{"status": "busy", "reason": "active-work", "retryAfterMs": 1, "activeCount": 1, "blockers": blockers}, nil
	}
	phase := "prepared"
	if l.busy > 0 {
		phase = "draining"
	}
	l.grant(params, phase)
	return l.look(), nil
}

// look is the lease as it is now; a drain comes nearer to its end with each look.
func (l *lease) look() map[string]any {
	if l.phase == "draining" {
		if l.busy > 0 {
			l.busy--
			return map[string]any{"status": "draining", "suspensionId": l.id, "retryAfterMs": 1, "activeCount": 1, "blockers": blockers}
		}
		l.phase = "prepared"
	}
	return map[string]any{"status": "ready", "suspensionId": l.id, "expiresAtMs": 1795419697058, "activeCount": 0, "blockers": []any{}}
}
