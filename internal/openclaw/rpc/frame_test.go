package rpc

import (
	"encoding/json"
	"errors"
	"testing"

	"creel/internal/openclaw/rpc/rpctest"
	"creel/internal/telemetry"
)

var recordings = []string{"methods", "devices", "restart", "starting", "suppressed", "drain"}

// Everything that the real gateway has said is understood.
func TestDecodeRecordings(t *testing.T) {
	hellos := 0
	for _, name := range recordings {
		for _, r := range rpctest.Frames(t, name) {
			if r.ToGateway || r.Close != 0 {
				continue
			}
			f, err := decode([]byte(r.Text))
			if err != nil {
				t.Errorf("%s: %v: %.200s", name, err, r.Text)
				continue
			}
			var kind struct{ Type string }
			if f.Type == frameResponse && f.OK && json.Unmarshal(f.Payload, &kind) == nil && kind.Type == "hello-ok" {
				h, err := parseHello(f.Payload)
				if err != nil || h.BootID == "" || h.Version != "2026.9.6" || h.Tick != defaultTick || h.Most != longestMessage || h.Phase != PhaseAccepting {
					t.Errorf("%s: hello %+v, %v", name, h, err)
				}
				hellos++
			}
		}
	}
	if hellos < len(recordings) {
		t.Errorf("%d hellos in %d recordings", hellos, len(recordings))
	}
}

// What creel sends is what was recorded to work, but for its names and scopes.
func TestLoginFrame(t *testing.T) {
	b, err := encode(loginID, "connect", login(telemetry.Secret(rpctest.Token), "1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	var sent, good struct {
		Type, Method string
		Params       struct {
			MinProtocol, MaxProtocol int
			Client                   struct{ ID, Mode, Platform string }
			Role                     string
			Caps                     []string
			Auth                     map[string]string
			Device                   any
		}
	}
	if err := json.Unmarshal(b, &sent); err != nil {
		t.Fatal(err)
	}
	for _, f := range rpctest.Frames(t, "methods") {
		if f.ToGateway {
			if err := json.Unmarshal([]byte(f.Text), &good); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	good.Params.Auth["token"] = rpctest.Token
	s, g := mustJSON(t, sent), mustJSON(t, good)
	if s != g {
		t.Errorf("sent %s\nrecorded %s", s, g)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDecodeRefuses(t *testing.T) {
	for _, text := range []string{
		``, `nonsense`, `[]`, `null`, `{}`, `{"type":"res","ok":true}`, `{"type":"event"}`, `{"type":7}`, `{"type":"res","id":1,"ok":true}`,
	} {
		if f, err := decode([]byte(text)); !errors.Is(err, errFrame) {
			t.Errorf("%s: %+v, %v", text, f, err)
		}
	}
	if f, err := decode([]byte(`{"type":"novelty","id":"x"}`)); err != nil || f.Type != "novelty" {
		t.Errorf("a type that is not known: %+v, %v", f, err)
	}
	if f, err := decode([]byte(`{"type":"res","id":"1","ok":false}`)); err != nil || f.Error == nil {
		t.Errorf("a refusal without a reason: %+v, %v", f, err)
	}
}

func TestRefusal(t *testing.T) {
	var w wireError
	if err := json.Unmarshal(rpctest.Refusal(t, "starting", "connect"), &w); err != nil {
		t.Fatal(err)
	}
	e := refusal("connect", &w)
	if e.Code != CodeUnavailable || e.Reason != ReasonStarting || !e.Retryable || e.RetryAfter != 500e6 {
		t.Errorf("%+v", e)
	}
	if got := refusal("x", &wireError{RetryAfterMs: -5}).RetryAfter; got != 0 {
		t.Errorf("a negative pause: %v", got)
	}
	if got := refusal("x", &wireError{RetryAfterMs: 1 << 62}).RetryAfter; got <= 0 {
		t.Errorf("an endless pause: %v", got)
	}
}

// FuzzDecode: no message makes the decoder panic, and what it lets through holds
// what the client relies on.
func FuzzDecode(f *testing.F) {
	for _, name := range recordings {
		for _, r := range rpctest.Frames(f, name) {
			if !r.ToGateway && r.Close == 0 && len(r.Text) < 4096 {
				f.Add([]byte(r.Text))
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decode(b)
		if err != nil {
			return
		}
		switch m.Type {
		case frameResponse:
			if m.ID == "" || !m.OK && m.Error == nil {
				t.Errorf("%q: %+v", b, m)
			}
			if !m.OK {
				_ = refusal("x", m.Error).Error()
			}
			_, _ = parseHello(m.Payload)
		case frameEvent:
			if m.Event == "" {
				t.Errorf("%q: %+v", b, m)
			}
		case "":
			t.Errorf("%q: no type", b)
		case frameRequest:
		}
	})
}
