package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// Bounds of a connection.
const (
	// handshakeTimeout bounds opening, challenge and login. A gateway that is
	// ready takes milliseconds; its event loop stands still for seconds while it
	// boots.
	handshakeTimeout = 15 * time.Second
	// writeTimeout bounds the sending of one frame: the peer is on this machine.
	writeTimeout = 10 * time.Second
	// queuedFrames is how many frames may wait to be sent.
	queuedFrames = 64
	// silence is how many of the gateway's ticks may be missed before the
	// connection is taken for dead. A gateway that is frozen for a snapshot, or
	// busy, misses one.
	silence = 3
)

// loginID is the id of the login's request; calls are numbered from 1.
const loginID = "login"

// session is one connection. Two goroutines serve it until ctx ends: read, which
// owns the receiving side and closes the connection, and write.
type session struct {
	conn  *websocket.Conn
	hello Hello
	ctx   context.Context
	end   context.CancelFunc
	out   chan []byte // to be sent
}

// direct makes a client for handshakes: they go to the address given, whatever the environment says of
// proxies, and follow no redirection.
func direct() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: handshakeTimeout}).DialContext},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// open opens a connection to addr and logs in. ctx bounds the connection's whole
// life, handshakeTimeout its opening.
func open(ctx context.Context, addr string, o *Options) (*session, error) {
	opening, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	client := direct()
	defer client.CloseIdleConnections()
	conn, resp, err := websocket.Dial(opening, "ws://"+addr+"/", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, fmt.Errorf("it answers %s, not as an OpenClaw gateway does", resp.Status)
		}
		return nil, fmt.Errorf("cannot open a WebSocket to %s: %w", addr, unwrapDial(err))
	}
	conn.SetReadLimit(longestHello)
	s := &session{conn: conn, out: make(chan []byte, queuedFrames)}
	if s.hello, err = s.login(opening, o); err != nil {
		_ = conn.CloseNow() // nothing more is wanted of it
		return nil, err
	}
	conn.SetReadLimit(s.hello.Most)
	s.ctx, s.end = context.WithCancel(ctx)
	return s, nil
}

// unwrapDial leaves out what the WebSocket library says about its own steps.
func unwrapDial(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op
	}
	return err
}

// login waits for the challenge, which is the first that a gateway says, and logs
// in.
func (s *session) login(ctx context.Context, o *Options) (Hello, error) {
	first, err := s.next(ctx)
	if err != nil {
		return Hello{}, fmt.Errorf("waiting for the gateway's challenge: %w", err)
	}
	if first.Event != "connect.challenge" {
		return Hello{}, fmt.Errorf("%w: it does not begin with a challenge", errFrame)
	}
	token, err := o.Token()
	if err != nil {
		return Hello{}, err
	}
	b, err := encode(loginID, "connect", login(token, o.Version))
	if err != nil {
		return Hello{}, err
	}
	if err := s.conn.Write(ctx, websocket.MessageText, b); err != nil {
		return Hello{}, fmt.Errorf("logging in: %w", closeReason(err))
	}
	for {
		f, err := s.next(ctx)
		switch {
		case err != nil:
			return Hello{}, fmt.Errorf("logging in: %w", err)
		case f.Type != frameResponse || f.ID != loginID: // an event may overtake it
		case !f.OK:
			return Hello{}, refusal("connect", f.Error)
		default:
			return parseHello(f.Payload)
		}
	}
}

// next reads one frame.
func (s *session) next(ctx context.Context) (frame, error) {
	for {
		kind, b, err := s.conn.Read(ctx)
		if err != nil {
			return frame{}, closeReason(err)
		}
		if kind == websocket.MessageText { // the protocol has no other
			return decode(b)
		}
	}
}

// closedError is the end of a connection by a close frame.
type closedError struct {
	code   websocket.StatusCode
	reason string
}

func (e *closedError) Error() string {
	if e.reason == "" {
		return fmt.Sprintf("it closed the connection (%d)", e.code)
	}
	return fmt.Sprintf("it closed the connection (%d: %s)", e.code, e.reason)
}

func closeReason(err error) error {
	if c, ok := errors.AsType[websocket.CloseError](err); ok {
		return &closedError{c.Code, c.Reason}
	}
	return err
}

// read hands frames to deliver until the connection ends, and says why it did.
// deliver reports whether the owner has taken the frame.
func (s *session) read(deliver func(frame) bool) error {
	defer s.end()
	defer func() { _ = s.conn.CloseNow() }() // it may be gone already
	for {
		f, err := s.nextWithin(silence * s.hello.Tick)
		if err != nil {
			return err
		}
		if !deliver(f) {
			return context.Cause(s.ctx)
		}
	}
}

func (s *session) nextWithin(limit time.Duration) (frame, error) {
	ctx, cancel := context.WithTimeout(s.ctx, limit)
	defer cancel()
	f, err := s.next(ctx)
	if err != nil && ctx.Err() != nil && s.ctx.Err() == nil {
		return frame{}, fmt.Errorf("it has said nothing for %v", limit)
	}
	return f, err
}

// write sends what is queued until the connection ends. A frame that cannot be
// sent ends it.
func (s *session) write() {
	defer s.end()
	for {
		select {
		case b := <-s.out:
			ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
			err := s.conn.Write(ctx, websocket.MessageText, b)
			cancel()
			if err != nil {
				return
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// unmarshal reads a reply's payload into result; nil: it is of no interest.
func unmarshal(method string, payload json.RawMessage, result any) error {
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(payload, result); err != nil {
		return fmt.Errorf("cannot understand OpenClaw's answer to %s: %w", method, err)
	}
	return nil
}
