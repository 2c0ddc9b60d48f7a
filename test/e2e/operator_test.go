//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// operator is a management client of OpenClaw's: it logs in with the shared
// token, as "gateway-client" in mode "backend", without a device. OpenClaw gives
// such a client its scopes only if it takes it for one of the same host: no
// header of a proxy, no Origin.
type operator struct {
	conn   *websocket.Conn
	boot   string // changes with each instance of the gateway
	scopes []string
	calls  int
}

// maxMessage is the greatest message that OpenClaw sends (policy.maxPayload).
const maxMessage = 26214400

var operatorScopes = []string{"operator.read", "operator.write", "operator.admin"}

// frame is a message in either direction.
type frame struct {
	Type    string          `json:"type"`
	ID      string          `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  any             `json:"params,omitempty"`
	Event   string          `json:"event,omitempty"`
	OK      bool            `json:"ok,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// dial opens a WebSocket through creel, waits for the gateway's challenge, which
// is the first thing that it says, and logs in. On success the caller closes it.
func (f *folder) dial(ctx context.Context, token string) (*operator, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	header := http.Header{}
	if err := f.door.show(ctx, f, header, "/"); err != nil {
		return nil, err
	}
	conn, _, err := websocket.Dial(ctx, "ws://"+f.listen+"/", &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, fmt.Errorf("WebSocket handshake: %w", err)
	}
	conn.SetReadLimit(maxMessage)
	o := &operator{conn: conn}
	if err := o.login(ctx, token); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *operator) login(ctx context.Context, token string) error {
	first, err := o.read(ctx)
	if err != nil {
		return fmt.Errorf("waiting for the challenge: %w", err)
	}
	if first.Event != "connect.challenge" {
		return fmt.Errorf("the first message is %q, not a challenge", first.Event)
	}
	var hello struct {
		Type   string
		Server struct {
			BootID string
		}
		Auth struct{ Scopes []string }
	}
	if err := o.call(ctx, "connect", map[string]any{
		"minProtocol": 4, "maxProtocol": 4, "role": "operator", "scopes": operatorScopes, "caps": []string{},
		"client": map[string]any{"id": "gateway-client", "version": "1.0.0", "platform": "linux", "mode": "backend"},
		"auth":   map[string]any{"token": token},
	}, &hello); err != nil {
		return err
	}
	if hello.Type != "hello-ok" || hello.Server.BootID == "" {
		return fmt.Errorf("connect: the answer is %+v", hello)
	}
	o.boot, o.scopes = hello.Server.BootID, hello.Auth.Scopes
	slices.Sort(o.scopes)
	return nil
}

// call calls a method of the gateway. Events that come meanwhile are dropped.
func (o *operator) call(ctx context.Context, method string, params, result any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o.calls++
	request := frame{Type: "req", ID: strconv.Itoa(o.calls), Method: method, Params: params}
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := o.conn.Write(ctx, websocket.MessageText, b); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		got, err := o.read(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case got.Type != "res" || got.ID != request.ID:
		case !got.OK:
			return fmt.Errorf("%s: %s", method, got.Error)
		default:
			return json.Unmarshal(got.Payload, result)
		}
	}
}

func (o *operator) read(ctx context.Context) (frame, error) {
	_, b, err := o.conn.Read(ctx)
	if err != nil {
		return frame{}, err
	}
	var m frame
	if err := json.Unmarshal(b, &m); err != nil {
		return frame{}, fmt.Errorf("%w: %.300s", err, b)
	}
	return m, nil
}

// ending is how a connection came to its end.
type ending struct {
	code websocket.StatusCode // -1: without a close frame
	err  error
}

// watch reads until the connection ends, and tells how. The connection is the
// watcher's from now on.
func (o *operator) watch(ctx context.Context) <-chan ending {
	ended := make(chan ending, 1)
	go func() { // ends with the connection, or in time
		ctx, cancel := context.WithTimeout(ctx, requestLimit)
		defer cancel()
		for {
			if _, err := o.read(ctx); err != nil {
				o.close()
				ended <- ending{websocket.CloseStatus(err), err}
				return
			}
		}
	}()
	return ended
}

// close gives the connection up. It may be gone already.
func (o *operator) close() { _ = o.conn.CloseNow() }
