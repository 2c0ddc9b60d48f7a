package proxy

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// accept answers a WebSocket handshake.
func (p *peer) accept(h *head) {
	sum := sha1.Sum([]byte(h.get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	p.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\nX-Generation: kept\r\n\r\n")
}

// readFrame reads one frame and gives its first byte and its payload, unmasked.
func readFrame(r io.Reader) (first byte, payload []byte, err error) {
	var h [8]byte
	if _, err := io.ReadFull(r, h[:2]); err != nil {
		return 0, nil, err
	}
	first, length, masked := h[0], uint64(h[1]&0x7f), h[1]&0x80 != 0
	switch length {
	case 126:
		_, err = io.ReadFull(r, h[:2])
		length = uint64(binary.BigEndian.Uint16(h[:2]))
	case 127:
		_, err = io.ReadFull(r, h[:8])
		length = binary.BigEndian.Uint64(h[:8])
	}
	if err != nil {
		return 0, nil, err
	}
	var key [4]byte
	if masked {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	if masked {
		mask(payload, key[:])
	}
	return first, payload, nil
}

// echoSocket is a gateway that sends every frame back, and ends with the other's
// close frame.
func echoSocket(p *peer) {
	h := p.head()
	if h == nil {
		return
	}
	if h.get("Sec-WebSocket-Key") == "" {
		p.answer(400, "no key")
		return
	}
	p.accept(h)
	for {
		first, payload, err := readFrame(p.br)
		if err != nil {
			return
		}
		p.write(string(frame(first, false, payload)))
		if first&0xf == opClose {
			return
		}
	}
}

// socket opens a WebSocket through the proxy.
func (w *world) socket() *websocket.Conn {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws://"+w.addr+"/ws", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if resp.Header.Get("X-Generation") != "kept" {
		w.t.Errorf("the handshake's answer lacks a field: %v", resp.Header)
	}
	c.SetReadLimit(-1)
	w.t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

// rawSocket opens a WebSocket whose frames the test handles itself.
func (w *world) rawSocket() *client {
	w.t.Helper()
	c := w.dial()
	c.write("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		w.t.Fatal(resp, err)
	}
	return c
}

// closeStatus reads until the socket is closed, and tells how.
func closeStatus(t *testing.T, c *websocket.Conn) (code int, reason string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		_, _, err := c.Read(ctx)
		var closed websocket.CloseError
		switch {
		case err == nil:
			continue
		case errors.As(err, &closed):
			return int(closed.Code), closed.Reason
		case ctx.Err() != nil:
			t.Fatal("the socket was not closed")
		}
		return 1006, err.Error()
	}
}

func TestSocketEcho(t *testing.T) {
	w := newWorld(t, echoSocket)
	c := w.socket()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 3 << 20} {
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			message := bytes.Repeat([]byte("x"), size)
			go func() {
				if err := c.Write(ctx, kind, message); err != nil {
					t.Error(err)
				}
			}()
			got, b, err := c.Read(ctx)
			if err != nil || got != kind || !bytes.Equal(b, message) {
				t.Fatalf("%d bytes: %v, %d bytes, %v", size, got, len(b), err)
			}
		}
	}
	writer, err := c.Writer(ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"in ", "three ", "parts"} {
		if _, err := io.WriteString(writer, part); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, b, err := c.Read(ctx); err != nil || string(b) != "in three parts" {
		t.Errorf("%q, %v", b, err)
	}
	if n := w.tally.sockets.Load(); n != 1 {
		t.Errorf("%d sockets are counted", n)
	}
	if err := c.Close(4321, "done"); err != nil {
		t.Errorf("the closing handshake: %v", err)
	}
	eventually(t, "the socket to be forgotten", func() bool { return w.tally.sockets.Load() == 0 })
}

// TestSocketEarlyFrames: frames that come with the handshake are not lost, on
// either side.
func TestSocketEarlyFrames(t *testing.T) {
	w := newWorld(t, func(p *peer) {
		h := p.head()
		if h == nil {
			return
		}
		hello := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + string(frame(0x81, false, []byte("hello")))
		p.write(hello)
		if first, b, err := readFrame(p.br); err == nil {
			p.write(string(frame(first, false, b)))
		}
		p.gone()
	})
	c := w.dial()
	c.write("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + string(frame(0x81, true, []byte("early"))))
	if resp, err := http.ReadResponse(c.br, nil); err != nil || resp.StatusCode != 101 {
		t.Fatal(resp, err)
	}
	for _, want := range []string{"hello", "early"} {
		if _, b, err := readFrame(c.br); err != nil || string(b) != want {
			t.Fatalf("%q, %v; want %q", b, err, want)
		}
	}
}

// TestSocketEnds: how an open socket ends for its client, by what happens to the
// gateway.
func TestSocketEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		end    func(*peer)
		code   int
		reason string
	}{
		{"crash", (*peer).crash, 1012, "the gateway is being restarted; reconnect"},
		{"crash in a frame", func(p *peer) { p.write("\x82\x0ahalf"); p.crash() }, 1006, ""},
		{"break", (*peer).close, 1011, "the gateway broke the connection"},
		{"reset", (*peer).reset, 1011, "the gateway broke the connection"},
		{"close frame", func(p *peer) { p.write(string(closeFrame(false, codeOf(4000, "own")...))) }, 4000, "own"},
		{"close frame and crash", func(p *peer) { p.write(string(closeFrame(false, codeOf(4000, "own")...))); p.crash() }, 4000, "own"},
		{"reserved code", func(p *peer) { p.write(string(closeFrame(false, codeOf(1006, "x")...))) }, 1011, "x"},
		{"no code", func(p *peer) { p.write(string(closeFrame(false))) }, 1005, ""},
	} {
		for _, sending := range []bool{false, true} {
			name := tt.name
			if sending {
				name += " while the client is sending"
			}
			t.Run(name, func(t *testing.T) {
				open := make(chan struct{})
				w := newWorld(t, func(p *peer) {
					h := p.head()
					if h == nil {
						return
					}
					p.accept(h)
					if p.generation() == 1 {
						<-open
						tt.end(p)
					}
				}, func(s *setting) {
					if tt.code == 1011 {
						s.proxy.Config.Replay.CrashWindow = time.Millisecond
					}
				})
				c := w.socket()
				var sender sync.WaitGroup
				if sending {
					sender.Go(func() {
						message := make([]byte, 10000)
						for c.Write(context.Background(), websocket.MessageBinary, message) == nil {
						}
					})
				}
				close(open)
				code, reason := closeStatus(t, c)
				if code != tt.code || tt.reason != "" && reason != tt.reason {
					t.Errorf("code %d, %q; want %d, %q", code, reason, tt.code, tt.reason)
				}
				_ = c.CloseNow()
				sender.Wait()
				eventually(t, "the socket to be forgotten", func() bool { return w.tally.sockets.Load() == 0 })
			})
		}
	}
}

// TestSocketClientLeaves: the gateway is told, with a close frame, and its
// connection ends.
func TestSocketClientLeaves(t *testing.T) {
	got := make(chan []byte, 1)
	w := newWorld(t, func(p *peer) {
		h := p.head()
		if h == nil {
			return
		}
		p.accept(h)
		_, payload, _ := readFrame(p.br)
		got <- payload
		p.gone()
	})
	c := w.rawSocket()
	_ = c.c.Close()
	if b := receive(t, "the close frame", got); !bytes.Equal(b, codeOf(1001, "the client is gone")) {
		t.Errorf("the gateway got %q", b)
	}
	eventually(t, "the socket to be forgotten", func() bool { return w.tally.sockets.Load() == 0 })
}

// TestHandshake: it is held and sent again like a GET; a refusal is passed on.
func TestHandshake(t *testing.T) {
	t.Run("replayed", func(t *testing.T) {
		w := newWorld(t, func(p *peer) {
			if p.generation() == 1 {
				p.head()
				p.crash()
				return
			}
			echoSocket(p)
		})
		c := w.socket()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := c.Write(ctx, websocket.MessageText, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(ctx); err != nil || string(b) != "hi" {
			t.Errorf("%q %v", b, err)
		}
		if got := w.rt.sightings("/ws"); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("seen by %v", got)
		}
	})
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t, echoSocket)
		resp, body := w.dial().ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if resp.StatusCode != 400 || body != "no key" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	})
	t.Run("another protocol", func(t *testing.T) {
		w := newWorld(t, func(p *peer) {
			if p.head() != nil {
				p.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
				p.gone()
			}
		})
		resp, body := w.dial().ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if resp.StatusCode != 502 || code(t, resp, body) != "bad_response" {
			t.Errorf("%d %q", resp.StatusCode, body)
		}
	})
}

// TestCloseTunnels: creel's own end closes all sockets with its code, and waits.
func TestCloseTunnels(t *testing.T) {
	toGateway := make(chan []byte, 3)
	w := newWorld(t, func(p *peer) {
		h := p.head()
		if h == nil {
			return
		}
		p.accept(h)
		_, b, _ := readFrame(p.br)
		toGateway <- b
	})
	var sockets []*websocket.Conn
	for range 3 {
		sockets = append(sockets, w.socket())
	}
	var readers sync.WaitGroup
	for _, c := range sockets {
		readers.Go(func() {
			if code, reason := closeStatus(t, c); code != 1012 || reason != "creel is being upgraded" {
				t.Errorf("code %d, %q", code, reason)
			}
		})
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.proxy.CloseTunnels(ctx, 1012, "creel is being upgraded"); err != nil {
		t.Error(err)
	}
	if n := w.tally.sockets.Load(); n != 0 {
		t.Errorf("%d sockets are left", n)
	}
	readers.Wait()
	for range 3 {
		if b := <-toGateway; !bytes.Equal(b, codeOf(1001, "creel is being upgraded")) {
			t.Errorf("the gateway got %q", b)
		}
	}
	resp, body := w.dial().ask("GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n")
	if resp.StatusCode != 503 || code(t, resp, body) != "creel_stopping" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("afterwards: %d %s", resp.StatusCode, body)
	}
}

// TestCloseTunnelsStuck: a client that takes nothing does not keep creel.
func TestCloseTunnelsStuck(t *testing.T) {
	full := make(chan struct{})
	w := newWorld(t, func(p *peer) {
		h := p.head()
		if h == nil {
			return
		}
		p.accept(h)
		// More than all buffers hold; the proxy's write to the client is stuck then.
		_ = p.tcp.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
		_, err := io.Copy(p.tcp, zeros{})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a slow consumer is not slowed down: %v", err)
		}
		close(full)
		p.gone()
	})
	w.rawSocket()
	receive(t, "the buffers to be full", full)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := w.proxy.CloseTunnels(ctx, 1001, "bye"); err != nil {
		t.Error(err)
	}
}

// TestCloseTunnelsInTime: ctx bounds the wait.
func TestCloseTunnelsInTime(t *testing.T) {
	w := newWorld(t, echoSocket)
	w.rawSocket()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := w.proxy.CloseTunnels(ctx, 1001, "bye"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestRawUpgrade: another protocol than WebSocket passes to the byte, and either
// side may end its direction before the other.
func TestRawUpgrade(t *testing.T) {
	for _, first := range []string{"client", "gateway"} {
		t.Run(first+" ends first", func(t *testing.T) {
			w := newWorld(t, func(p *peer) {
				if p.head() == nil {
					return
				}
				p.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n")
				if first == "gateway" {
					p.write("\x88\x02\x00\x00 bye")
					_ = p.tcp.CloseWrite()
				}
				b, _ := io.ReadAll(p.br)
				if first == "client" {
					p.write("got " + string(b))
				} else if string(b) != "from the client" {
					t.Errorf("the gateway got %q", b)
				}
			})
			c := w.dial()
			c.write("GET /raw HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n")
			if resp, err := http.ReadResponse(c.br, nil); err != nil || resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "raw" {
				t.Fatal(resp, err)
			}
			want := "\x88\x02\x00\x00 bye"
			if first == "client" {
				want = "got from the client"
				c.write("from the client")
				_ = c.c.(*net.TCPConn).CloseWrite()
			}
			if b, err := io.ReadAll(c.br); err != nil || string(b) != want {
				t.Errorf("the client got %q, %v", b, err)
			}
			if first == "gateway" {
				c.write("from the client")
				_ = c.c.Close()
			}
			eventually(t, "the tunnel to be forgotten", func() bool { return w.tally.sockets.Load() == 0 })
		})
	}
}

// TestSocketOverTLS: connections that cannot be waited for without a buffer are
// served as well.
func TestSocketOverTLS(t *testing.T) {
	conf := testTLS(t)
	w := newWorld(t, echoSocket, func(s *setting) { s.tls = conf })
	hc, _ := w.httpClient("h2")
	hc.Transport.(*http.Transport).Protocols = nil // HTTP/1.1, as browsers use it for WebSocket
	hc.Timeout = 0
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "wss://"+w.addr+"/ws", &websocket.DialOptions{HTTPClient: hc})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for range 3 {
		message := strings.Repeat("x", 20000)
		if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(ctx); err != nil || string(b) != message {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	if err := c.Close(1000, ""); err != nil {
		t.Error(err)
	}
}
