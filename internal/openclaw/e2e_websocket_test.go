//go:build e2e

package openclaw

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// controlUIConnect connects as the Control UI of a new browser does: with a
// device key and the shared token.
func controlUIConnect(t *testing.T, g *realGateway, addr, origin, build string) reply {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(public)
	device := hex.EncodeToString(sum[:])
	scopes := []string{"operator.read", "operator.write"}
	client := map[string]any{"id": "openclaw-control-ui", "version": DefaultVersion, "buildId": build, "platform": "linux", "mode": "webchat"}
	return connect(t, addr, origin, func(nonce string, at int64) map[string]any {
		text := fmt.Sprintf("v3|%s|openclaw-control-ui|webchat|operator|%s|%d|%s|%s|linux|", device, strings.Join(scopes, ","), at, g.token, nonce)
		return connectParams(client, g.token, scopes, map[string]any{
			"id": device, "publicKey": base64.RawURLEncoding.EncodeToString(public), "signedAt": at, "nonce": nonce,
			"signature": base64.RawURLEncoding.EncodeToString(ed25519.Sign(private, []byte(text))),
		})
	})
}

func connectParams(client map[string]any, token string, scopes []string, device map[string]any) map[string]any {
	p := map[string]any{
		"minProtocol": 4, "maxProtocol": 4, "client": client, "role": "operator", "scopes": scopes,
		"caps": []string{}, "auth": map[string]any{"token": token},
	}
	if device != nil {
		p["device"] = device
	}
	return p
}

// connect opens a WebSocket at addr, waits for the challenge, sends a connect
// request and returns the answer.
func connect(t *testing.T, addr, origin string, params func(nonce string, at int64) map[string]any) reply {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	host := addr
	if rest, ok := strings.CutPrefix(origin, "http://"); ok {
		host = rest // a browser sends both alike
	}
	head := "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	if origin != "" {
		head += "Origin: " + origin + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	status, err := r.ReadString('\n')
	if err != nil || !strings.Contains(status, " 101 ") {
		return reply{raw: "handshake: " + status + fmt.Sprint(err)}
	}
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			return reply{raw: err.Error()}
		}
	}
	for {
		message, err := readMessage(r)
		if err != nil {
			return reply{raw: err.Error()}
		}
		var frame struct {
			Type, Event string
			Payload     struct {
				Nonce string
				TS    int64 `json:"ts"`
			}
		}
		if err := json.Unmarshal(message, &frame); err != nil {
			return reply{raw: err.Error()}
		}
		switch {
		case frame.Event == "connect.challenge":
			request := map[string]any{"type": "req", "id": "1", "method": "connect", "params": params(frame.Payload.Nonce, frame.Payload.TS)}
			if err := writeMessage(c, mustJSON(t, request)); err != nil {
				t.Fatal(err)
			}
		case frame.Type == "res":
			got := reply{raw: string(message[:min(len(message), 600)])}
			if err := json.Unmarshal(message, &got); err != nil {
				t.Fatal(err)
			}
			return got
		}
	}
}

// readMessage reads a text message (RFC 6455 section 5.2). The gateway sends
// each in one frame.
func readMessage(r *bufio.Reader) ([]byte, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return nil, err
		}
		size := uint64(head[1] & 0x7f)
		switch size {
		case 126:
			var n uint16
			if err := binary.Read(r, binary.BigEndian, &n); err != nil {
				return nil, err
			}
			size = uint64(n)
		case 127:
			if err := binary.Read(r, binary.BigEndian, &size); err != nil {
				return nil, err
			}
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(r, payload); err != nil {
			return nil, err
		}
		switch head[0] & 0x0f {
		case 1:
			return payload, nil
		case 8:
			return nil, fmt.Errorf("%w: %q", errNoReply, payload)
		}
	}
}

// writeMessage writes a text message, masked with zeros: a client must mask,
// and a mask is no secret to a test.
func writeMessage(w io.Writer, payload []byte) error {
	frame := []byte{0x81}
	if len(payload) < 126 {
		frame = append(frame, 0x80|byte(len(payload)))
	} else {
		frame = append(frame, 0x80|126)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(payload)))
	}
	frame = append(frame, 0, 0, 0, 0)
	_, err := w.Write(append(frame, payload...))
	return err
}
