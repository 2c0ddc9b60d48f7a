package fake

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// Device is a person's device on another machine: a client of OpenClaw's with a
// key of its own, which has to be let in.
type Device struct {
	ID      string // hex SHA-256 of its public key
	Name    string
	Address string // its IP address, as a proxy would tell it; "": no proxy says anything
	Cookie  string // its session with creel; "": it goes to the gateway itself
	private ed25519.PrivateKey
}

// NewDevice makes one that nobody knows yet.
func NewDevice(t testing.TB, name, address string) *Device {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(public)
	return &Device{ID: hex.EncodeToString(sum[:]), Name: name, Address: address, private: private}
}

// deviceScopes are what it asks for.
var deviceScopes = []string{"operator.read", "operator.write"}

// deviceMessage is what a gateway says, as far as a login needs it.
type deviceMessage struct {
	Type, Event string
	OK          bool
	Payload     struct {
		Nonce string
		TS    int64 `json:"ts"`
	}
	Error struct{ Message string }
}

// Connect tries once to log in to the gateway at addr. The connection is the
// caller's; the error is the gateway's refusal, such as "pairing required", or
// what kept it from answering.
func (d *Device) Connect(ctx context.Context, addr, token string) (*websocket.Conn, error) {
	header := http.Header{}
	if d.Address != "" {
		header.Set("X-Forwarded-For", d.Address)
	}
	if d.Cookie != "" {
		header.Set("Cookie", d.Cookie)
	}
	conn, _, err := websocket.Dial(ctx, "ws://"+addr+"/", &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(4 << 20) // hello-ok has 20 KB
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		var m deviceMessage
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, errors.Join(err, conn.CloseNow())
		}
		switch {
		case m.Event == "connect.challenge":
			if err := conn.Write(ctx, websocket.MessageText, d.login(token, m.Payload.Nonce, m.Payload.TS)); err != nil {
				return nil, err
			}
		case m.Type == "res" && m.OK:
			return conn, nil
		case m.Type == "res":
			_ = conn.CloseNow() // the gateway closes it too
			return nil, errors.New(m.Error.Message)
		}
	}
}

// login is the request that its key signs.
func (d *Device) login(token, nonce string, at int64) []byte {
	signed := fmt.Sprintf("v3|%s|cli|cli|operator|%s|%d|%s|%s|linux|", d.ID, strings.Join(deviceScopes, ","), at, token, nonce)
	encode := base64.RawURLEncoding.EncodeToString
	type object = map[string]any
	b, err := json.Marshal(object{"type": "req", "id": "1", "method": "connect", "params": object{
		"minProtocol": 4, "maxProtocol": 4, "role": "operator", "scopes": deviceScopes, "caps": []string{}, "auth": object{"token": token},
		"client": object{"id": "cli", "version": "1.0.0", "platform": "linux", "mode": "cli", "displayName": d.Name},
		"device": object{
			"id": d.ID, "publicKey": encode(d.private.Public().(ed25519.PublicKey)), "signedAt": at, "nonce": nonce,
			"signature": encode(ed25519.Sign(d.private, []byte(signed))),
		},
	}})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return b
}
