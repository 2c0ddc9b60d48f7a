package rpctest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"
)

// Token is what the gateway lets in.
const Token = "rpctest-token-0123456789abcdef01234567"

// Gateway is a gateway on a port of its own.
type Gateway struct {
	t      testing.TB
	server *httptest.Server
	hello  map[string]any
	ended  chan struct{}

	mu         sync.Mutex
	conns      map[*conn]struct{}
	heads      []http.Header // of handshakes
	urls       []string
	calls      []Call
	answers    map[string]Answer
	boot       int
	starting   int  // so many logins are refused as too early
	mute       bool // nothing is read after the login
	lease      lease
	suppressed []string
}

// Call is a request that came.
type Call struct {
	Method string
	Params json.RawMessage
}

// Answer answers a call: with a payload, or with an error object of the
// protocol's.
type Answer func(params json.RawMessage) (payload, refusal any)

// conn is a client's connection.
type conn struct {
	ws  *websocket.Conn
	seq int
	mu  sync.Mutex // of writes
}

// New starts a gateway that ends with the test. It answers what was recorded.
func New(t testing.TB) *Gateway {
	t.Helper()
	g := &Gateway{t: t, ended: make(chan struct{}), conns: map[*conn]struct{}{}, answers: map[string]Answer{}, lease: lease{phase: "accepting"}}
	if err := json.Unmarshal(Payload(t, "methods", "connect", 0), &g.hello); err != nil {
		t.Fatal(err)
	}
	for method, recording := range map[string]string{
		"health": "methods", "system-presence": "methods", "channels.status": "methods", "device.pair.list": "devices",
		"cron.list": "methods", "gateway.restart.preflight": "methods", "device.pair.approve": "devices", "device.pair.reject": "devices",
		"device.pair.rename": "devices", "device.pair.remove": "devices", "device.token.revoke": "devices",
		"channels.start": "suppressed",
	} {
		g.answers[method] = Always(Payload(t, recording, method, 0))
	}
	g.server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(func() {
		close(g.ended)
		g.Drop()
		g.server.Close()
	})
	return g
}

// Always answers with the same payload.
func Always(payload any) Answer {
	return func(json.RawMessage) (any, any) { return payload, nil }
}

// Refuse answers with the same error.
func Refuse(refusal any) Answer {
	return func(json.RawMessage) (any, any) { return nil, refusal }
}

// Addr is where it listens.
func (g *Gateway) Addr() string { return g.server.Listener.Addr().String() }

// Answer replaces the answer to a method. An answer that gives neither a payload
// nor a refusal: there is none.
func (g *Gateway) Answer(method string, a Answer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers[method] = a
}

// Starting refuses the next n logins, as a gateway does that is not ready.
func (g *Gateway) Starting(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.starting = n
}

// Mute stops reading of what clients send after their login.
func (g *Gateway) Mute() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mute = true
}

// Grant changes the scopes that are granted.
func (g *Gateway) Grant(scopes ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hello["auth"] = map[string]any{"scopes": scopes}
}

// Suppress sets what /readyz tells of channels that were not started.
func (g *Gateway) Suppress(channels ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.suppressed = channels
}

// Reboot gives it another boot id and ends all connections, as a restart within
// the process does.
func (g *Gateway) Reboot() {
	g.mu.Lock()
	g.boot++
	g.lease = lease{phase: "accepting"}
	g.mu.Unlock()
	g.Close(1012, "service restart")
}

// BootID is the present one.
func (g *Gateway) BootID() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bootID()
}

func (g *Gateway) bootID() string { return fmt.Sprintf("boot-%d", g.boot) }

// Push sends an event to all clients.
func (g *Gateway) Push(event string, payload any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.event(event, payload)
	}
}

// Close ends all connections with a close frame.
func (g *Gateway) Close(code int, reason string) {
	for _, c := range g.present() {
		_ = c.ws.Close(websocket.StatusCode(code), reason) // it may be gone
	}
}

// Drop ends all connections without one, as a crash does.
func (g *Gateway) Drop() {
	for _, c := range g.present() {
		_ = c.ws.CloseNow() // it may be gone
	}
}

func (g *Gateway) present() []*conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []*conn
	for c := range g.conns {
		list = append(list, c)
	}
	clear(g.conns)
	return list
}

// Calls gives the calls of a method that came so far; "": of all.
func (g *Gateway) Calls(method string) []Call {
	g.mu.Lock()
	defer g.mu.Unlock()
	var list []Call
	for _, c := range g.calls {
		if method == "" || c.Method == method {
			list = append(list, c)
		}
	}
	return list
}

// Handshakes gives the header fields and the URLs of the handshakes that came.
func (g *Gateway) Handshakes() ([]http.Header, []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.heads, g.urls
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/readyz" && r.Header.Get("Upgrade") == "" {
		g.mu.Lock()
		body := map[string]any{"ready": true, "failing": []string{}, "suppressed": g.suppressed}
		g.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body) // the client may be gone
		return
	}
	g.mu.Lock()
	g.heads, g.urls = append(g.heads, r.Header.Clone()), append(g.urls, r.URL.String())
	g.mu.Unlock()
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it was no handshake; it has been answered
	}
	c := &conn{ws: ws}
	defer func() {
		g.mu.Lock()
		delete(g.conns, c)
		g.mu.Unlock()
		_ = ws.CloseNow() // it may be gone
	}()
	g.talk(r.Context(), c)
}

func (g *Gateway) talk(ctx context.Context, c *conn) {
	c.event("connect.challenge", map[string]any{"nonce": "nonce", "ts": 1})
	for {
		_, b, err := c.ws.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			ID, Method string
			Params     json.RawMessage
		}
		if err := json.Unmarshal(b, &m); err != nil {
			g.t.Errorf("a client sent %q: %v", b, err)
			return
		}
		if m.Method == "connect" {
			if err := g.login(c, m.ID, m.Params); err != nil {
				return
			}
			g.mu.Lock()
			mute := g.mute
			g.mu.Unlock()
			if mute {
				<-g.ended
				return
			}
			continue
		}
		g.answer(c, m.ID, m.Method, m.Params)
	}
}

var errRefused = errors.New("refused")

func (g *Gateway) login(c *conn, id string, params json.RawMessage) error {
	var p struct {
		MinProtocol, MaxProtocol int
		Role                     string
		Client                   struct{ ID, Mode string }
		Auth                     struct{ Token string }
	}
	if err := json.Unmarshal(params, &p); err != nil {
		g.t.Errorf("connect with %s: %v", params, err)
	}
	if p.MinProtocol > 4 || p.MaxProtocol < 4 || p.Role != "operator" || p.Client.ID != "gateway-client" || p.Client.Mode != "backend" {
		g.t.Errorf("connect with %s", strings.ReplaceAll(string(params), Token, "TOKEN"))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.starting > 0 {
		g.starting--
		c.reply(id, nil, Refusal(g.t, "starting", "connect"))
		_ = c.ws.Close(1013, "gateway starting") // the client may be gone
		return errRefused
	}
	if p.Auth.Token != Token {
		c.reply(id, nil, map[string]any{"code": "INVALID_REQUEST", "message": "unauthorized: gateway token mismatch", "details": map[string]any{"code": "AUTH_TOKEN_MISMATCH"}})
		_ = c.ws.Close(1008, "unauthorized") // likewise
		return errRefused
	}
	g.hello["server"] = map[string]any{"version": "2026.9.6", "bootId": g.bootID()}
	g.hello["snapshot"] = map[string]any{"suspension": map[string]any{"phase": g.lease.phase}}
	c.reply(id, g.hello, nil)
	g.conns[c] = struct{}{}
	return nil
}

func (g *Gateway) answer(c *conn, id, method string, params json.RawMessage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = append(g.calls, Call{method, params})
	if a := g.answers[method]; a != nil && g.lease.allows(method) {
		payload, refusal := a(params)
		if payload != nil || refusal != nil {
			c.reply(id, payload, refusal)
		}
		return
	}
	payload, refusal := g.lease.call(method, params)
	c.reply(id, payload, refusal)
}

func (c *conn) event(name string, payload any) {
	c.seq++
	c.send(map[string]any{"type": "event", "event": name, "payload": payload, "seq": c.seq})
}

func (c *conn) reply(id string, payload, refusal any) {
	if refusal != nil {
		c.send(map[string]any{"type": "res", "id": id, "ok": false, "error": refusal})
		return
	}
	c.send(map[string]any{"type": "res", "id": id, "ok": true, "payload": payload})
}

func (c *conn) send(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of the tests' own come here
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.ws.Write(context.Background(), websocket.MessageText, b) // the client may be gone
}
