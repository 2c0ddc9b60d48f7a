package crashgw

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// wsClient is a WebSocket client that may break every rule.
type wsClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	resp *http.Response
}

const upgrade = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" // RFC 6455 section 1.3

func dialWS(t *testing.T, p *Process, path string, more ...string) *wsClient {
	t.Helper()
	c := &wsClient{t: t, conn: dial(t, p)}
	c.r = bufio.NewReader(c.conn)
	_, err := io.WriteString(c.conn, "GET "+path+" HTTP/1.1\r\nHost: test\r\n"+upgrade+strings.Join(more, "")+"\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.resp, err = http.ReadResponse(c.r, nil); err != nil {
		t.Fatal(err)
	}
	if c.resp.StatusCode != 101 || c.resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("handshake: %v", c.resp)
	}
	return c
}

// clientFrame encodes a masked frame.
func clientFrame(first byte, payload string) []byte {
	out := frame{payload: []byte(payload)}.encode()
	body := len(out) - len(payload)
	out[0] = first
	out[1] |= 0x80
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	masked := []byte(payload)
	mask(masked, key)
	return append(append(out[:body:body], key[:]...), masked...)
}

func (c *wsClient) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *wsClient) send(first byte, payload string) {
	c.t.Helper()
	c.write(clientFrame(first, payload))
}

// next reads a server's frame: the first byte and the payload.
func (c *wsClient) next() (byte, string) {
	c.t.Helper()
	first, payload, err := c.tryNext()
	if err != nil {
		c.t.Fatal(err)
	}
	return first, payload
}

func (c *wsClient) tryNext() (byte, string, error) {
	var h [2]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return 0, "", err
	}
	n := uint64(h[1])
	switch h[1] {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return 0, "", err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return 0, "", err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	if n > maxMessage {
		return 0, "", fmt.Errorf("a frame of %d bytes, or masked", n)
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(c.r, payload)
	return h[0], string(payload), err
}

func (c *wsClient) want(first byte, payload string) {
	c.t.Helper()
	if f, p := c.next(); f != first || p != payload {
		c.t.Errorf("got frame %#x %.80q, want %#x %.80q", f, p, first, payload)
	}
}

// wantClose expects a close frame (code 0: without one) and then the end.
func (c *wsClient) wantClose(code int) {
	c.t.Helper()
	f, p := c.next()
	got := 0
	if len(p) >= 2 {
		got = int(binary.BigEndian.Uint16([]byte(p)))
	}
	if f != 0x88 || got != code {
		c.t.Errorf("got frame %#x %q, want a close frame with %d", f, p, code)
	}
	c.wantEnd()
}

func (c *wsClient) wantEnd() {
	c.t.Helper()
	if _, p, err := c.tryNext(); !errors.Is(err, io.EOF) {
		c.t.Errorf("got %q, %v; want the end of the connection", p, err)
	}
}

// wantSilence expects neither data nor the end for a moment.
func (c *wsClient) wantSilence() {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Errorf("got %v, want silence", err)
	}
	if err := c.conn.SetReadDeadline(time.Now().Add(testFor)); err != nil {
		c.t.Fatal(err)
	}
}

const (
	finText, finBinary, finContinuation = 0x81, 0x82, 0x80
	finClose, finPing, finPong          = 0x88, 0x89, 0x8a
)

func TestWebSocketEcho(t *testing.T) {
	p := Start(t, Options{})
	c := dialWS(t, p, "/ws?hello=1&subprotocol=b", "Sec-WebSocket-Protocol: a, b\r\n")
	if got := c.resp.Header.Get("Sec-WebSocket-Protocol"); got != "b" {
		t.Errorf("subprotocol %q, want b", got)
	}
	c.want(finText, fmt.Sprintf(`{"pid":%d}`, p.PID))
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
		s := strings.Repeat("x", n)
		c.send(finText, s)
		c.want(finText, s)
		c.send(finBinary, s+"\xff")
		c.want(finBinary, s+"\xff")
	}
	// Fragments, with a control frame between them.
	c.send(0x01, "one ")
	c.send(0x00, "two \xc3") // a rune may be cut between frames
	c.send(finPing, "are you there")
	c.send(finPong, "unsolicited, and ignored")
	c.send(finContinuation, "\xa4")
	c.want(finPong, "are you there")
	c.want(finText, "one two ä")

	c.send(finText, "ping:data")
	c.want(finPing, "data")
	c.send(finPong, "data")
	c.send(finText, "fragments:3:abcdefg")
	c.want(0x01, "abc")
	c.want(0x00, "def")
	c.want(finContinuation, "g")

	c.send(finClose, "\x03\xe9going") // 1001
	c.wantClose(1001)

	if got := dialWS(t, p, "/ws?subprotocol=c", "Sec-WebSocket-Protocol: a, b\r\n").resp.Header; got.Get("Sec-WebSocket-Protocol") != "" {
		t.Errorf("a subprotocol that was not offered: %v", got)
	}
}

func TestWebSocketClose(t *testing.T) {
	p := Start(t, Options{})
	for _, code := range []int{1000, 1001, 1005, 1006, 1012, 1015, 4000, 0, 65535} {
		c := dialWS(t, p, "/ws")
		c.send(finText, fmt.Sprintf("close:%d:why: not", code))
		c.want(finClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+"why: not")
		c.send(finText, "too late")
		c.wantSilence() // it waits for our close frame, and for nothing else
		c.send(finClose, "\x03\xe8")
		c.wantEnd()
	}
	c := dialWS(t, p, "/ws")
	c.send(finText, "close")
	c.want(finClose, "")
	c.send(finClose, "")
	c.wantEnd()

	c = dialWS(t, p, "/ws")
	c.send(finText, "close:1000:"+strings.Repeat("x", 124))
	if _, s := c.next(); !strings.HasPrefix(s, "cannot close") {
		t.Errorf("got %q", s)
	}
	c.send(finClose, "") // without a code
	c.wantClose(0)

	c = dialWS(t, p, "/ws")
	c.send(finText, "drop")
	c.wantEnd()

	c = dialWS(t, p, "/ws")
	c.send(finText, "die")
	c.wantEnd()
	wantExit(t, p, 1)

	q := Start(t, Options{})
	c = dialWS(t, q, "/ws?die=after-headers&code=4")
	c.wantEnd()
	wantExit(t, q, 4)
}

// TestWebSocketStrict breaks the rules one by one.
func TestWebSocketStrict(t *testing.T) {
	unmasked := frame{fin: true, opcode: opText, payload: []byte("x")}.encode()
	tests := []struct {
		name string
		send []byte
		code int
	}{
		{"unmasked", unmasked, 1002},
		{"reserved bit", clientFrame(0xc1, "x"), 1002},
		{"reserved opcode", clientFrame(0x83, "x"), 1002},
		{"reserved control opcode", clientFrame(0x8b, "x"), 1002},
		{"fragmented control", clientFrame(0x09, "x"), 1002},
		{"long control", clientFrame(finPing, strings.Repeat("x", 126)), 1002},
		{"continuation of nothing", clientFrame(finContinuation, "x"), 1002},
		{"message within a message", append(clientFrame(0x01, "x"), clientFrame(finText, "x")...), 1002},
		{"length not shortest, 16 bits", append([]byte{finText, 0xfe, 0, 1, 0, 0, 0, 0}, 'x'), 1002},
		{"length not shortest, 64 bits", []byte{finText, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, 1002},
		{"length with the top bit", []byte{finText, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1002},
		{"text is not UTF-8", clientFrame(finText, "\xff"), 1007},
		{"too big", []byte{finBinary, 0xff, 0, 0, 0, 0, 0x01, 0, 0, 1, 0, 0, 0, 0}, 1009},
		{"close with one byte", clientFrame(finClose, "\x03"), 1002},
		{"close with a reserved code", clientFrame(finClose, "\x03\xed"), 1002}, // 1005
		{"close with 999", clientFrame(finClose, "\x03\xe7"), 1002},
		{"close with a reason not UTF-8", clientFrame(finClose, "\x03\xe8\xff"), 1007},
	}
	p := Start(t, Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := dialWS(t, p, "/ws")
			c.write(tt.send)
			c.wantClose(tt.code)
		})
	}
	// Too big in fragments.
	c := dialWS(t, p, "/ws")
	c.send(0x02, strings.Repeat("x", maxMessage))
	c.send(finContinuation, "x")
	c.wantClose(1009)
}

func TestWebSocketHandshake(t *testing.T) {
	p := Start(t, Options{})
	tests := []struct {
		name   string
		head   string
		status string
	}{
		{"not GET", "POST /ws HTTP/1.1\r\nHost: test\r\n" + upgrade, "405"},
		{"no upgrade", "GET /ws HTTP/1.1\r\nHost: test\r\n" + strings.Replace(upgrade, "websocket", "h2c", 1), "426"},
		{"no connection token", "GET /ws HTTP/1.1\r\nHost: test\r\n" + strings.Replace(upgrade, ", Upgrade", "", 1), "426"},
		{"old version", "GET /ws HTTP/1.1\r\nHost: test\r\n" + strings.Replace(upgrade, "13", "8", 1), "426"},
		{"short key", "GET /ws HTTP/1.1\r\nHost: test\r\n" + strings.Replace(upgrade, "dGhlIHNhbXBsZSBub25jZQ", "dGhl", 1), "400"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn := dial(t, p)
			if _, err := io.WriteString(conn, tt.head+"\r\n"); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+tt.status+" ") {
				t.Errorf("got %q, %v; want %s", line, err, tt.status)
			}
		})
	}
}

// TestFrameVectors are the examples of RFC 6455 section 5.7.
func TestFrameVectors(t *testing.T) {
	masked, err := hex.DecodeString("818537fa213d7f9f4d5158")
	if err != nil {
		t.Fatal(err)
	}
	f, err := readFrame(bufio.NewReader(bytes.NewReader(masked)), 5)
	if err != nil || !f.fin || f.opcode != opText || string(f.payload) != "Hello" {
		t.Errorf("got %+v, %v", f, err)
	}
	for _, tt := range []struct {
		f    frame
		want string
	}{
		{frame{true, opText, []byte("Hello")}, "810548656c6c6f"},
		{frame{false, opText, []byte("Hel")}, "010348656c"},
		{frame{true, opContinuation, []byte("lo")}, "80026c6f"},
		{frame{true, opPing, []byte("Hello")}, "890548656c6c6f"},
		{frame{true, opBinary, make([]byte, 256)}, "827e0100" + strings.Repeat("00", 256)},
		{frame{true, opBinary, make([]byte, 65536)}, "827f0000000000010000" + strings.Repeat("00", 65536)},
	} {
		if got := hex.EncodeToString(tt.f.encode()); got != tt.want {
			t.Errorf("got %.40s, want %.40s", got, tt.want)
		}
	}
}

// FuzzReadFrame: no input panics, and what is read was well-formed.
func FuzzReadFrame(f *testing.F) {
	f.Add(clientFrame(finText, "Hello"))
	f.Add(clientFrame(finClose, ""))
	f.Add([]byte{finText, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := readFrame(bufio.NewReader(bytes.NewReader(b)), 1000)
		if err != nil {
			return
		}
		if len(fr.payload) > 1000 || len(fr.payload) > len(b) || fr.opcode >= opClose && (!fr.fin || len(fr.payload) > 125) {
			t.Errorf("accepted %+v", fr)
		}
	})
}
