package crashgw

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// serveWebSocket does the handshake of RFC 6455 section 4.2 and then echoes.
func (c *call) serveWebSocket() {
	hello := c.params.flag("hello")
	wanted := c.params.text("subprotocol")
	if c.refused() {
		return
	}
	key, status, why := checkHandshake(c.r)
	if status != 0 {
		if status == http.StatusUpgradeRequired {
			c.w.Header().Set("Sec-WebSocket-Version", "13")
			c.w.Header().Set("Upgrade", "websocket")
			c.w.Header().Set("Connection", "Upgrade")
		}
		c.reply(status, failure{why})
		return
	}
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptKey(key) + "\r\n"
	if wanted != "" && hasToken(c.r.Header, "Sec-WebSocket-Protocol", wanted) {
		head += "Sec-WebSocket-Protocol: " + wanted + "\r\n"
	}
	nc, r, taken := c.takeOver()
	if !taken {
		return
	}
	defer closeConn(nc)
	if _, err := io.WriteString(nc, head+"\r\n"); err != nil {
		return
	}
	c.step(0, 0)
	ws := &session{call: c, conn: nc, r: r}
	if hello {
		ws.err = ws.send(opText, fmt.Appendf(nil, `{"pid":%d}`, os.Getpid()))
	}
	ws.run()
}

// checkHandshake gives the client's key, or the status to refuse with and why.
func checkHandshake(r *http.Request) (key string, status int, why string) {
	h := r.Header
	key = h.Get("Sec-WebSocket-Key")
	nonce, err := base64.StdEncoding.DecodeString(key)
	switch {
	case r.Method != http.MethodGet:
		return "", http.StatusMethodNotAllowed, "cannot open a WebSocket: the method is not GET"
	case !hasToken(h, "Upgrade", "websocket") || !hasToken(h, "Connection", "upgrade"):
		return "", http.StatusUpgradeRequired, "cannot open a WebSocket: the request asks for no upgrade"
	case h.Get("Sec-WebSocket-Version") != "13":
		return "", http.StatusUpgradeRequired, "cannot open a WebSocket: the version is not 13"
	case err != nil || len(nonce) != 16:
		return "", http.StatusBadRequest, "cannot open a WebSocket: the key is not 16 bytes in base64"
	}
	return key, 0, ""
}

// acceptKey is Sec-WebSocket-Accept, RFC 6455 section 4.2.2.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// session is an open WebSocket. One goroutine reads and writes.
type session struct {
	call *call
	conn net.Conn
	r    *bufio.Reader
	err  error
}

// errEnd ends a session without a close frame of ours.
var errEnd = errors.New("the session is over")

// run echoes until the session ends, and closes it as its end demands.
func (ws *session) run() {
	for ws.err == nil {
		opcode, message, err := ws.readMessage()
		if err != nil {
			ws.err = err
			break
		}
		// The client's departure is seen by reading, not by a context.
		if ws.err = ws.call.gate.wait(ws.call.r.Context()); ws.err == nil {
			ws.err = ws.handle(opcode, message)
		}
	}
	if fail, ok := errors.AsType[*closeError](ws.err); ok {
		ws.close(fail.code, fail.reason)
	}
}

// readMessage reads a text or binary message, and sees to control frames on the
// way, which may come between fragments.
func (ws *session) readMessage() (opcode byte, message []byte, err error) {
	for {
		f, err := readFrame(ws.r, maxMessage-len(message))
		if err != nil {
			return 0, nil, err
		}
		switch f.opcode {
		case opPing:
			if err := ws.send(opPong, f.payload); err != nil {
				return 0, nil, err
			}
			continue
		case opPong:
			continue
		case opClose:
			return 0, nil, ws.answerClose(f.payload)
		case opContinuation:
			if opcode == 0 {
				return 0, nil, protocolError("a continuation continues nothing")
			}
		default:
			if opcode != 0 {
				return 0, nil, protocolError("a message begins within another")
			}
			opcode = f.opcode
		}
		message = append(message, f.payload...)
		if !f.fin {
			continue
		}
		if opcode == opText && !utf8.Valid(message) {
			return 0, nil, &closeError{closeInvalid, "text is not UTF-8"}
		}
		return opcode, message, nil
	}
}

// handle echoes a message, or obeys it.
func (ws *session) handle(opcode byte, message []byte) error {
	if opcode != opText {
		return ws.send(opcode, message)
	}
	order, rest, _ := strings.Cut(string(message), ":")
	switch order {
	case "die":
		ws.call.die(death{code: 1, why: "WebSocket message"})
	case "drop":
		return errEnd
	case "ping":
		return ws.send(opPing, []byte(rest[:min(len(rest), 125)]))
	case "close":
		code, reason, _ := strings.Cut(rest, ":")
		if rest == "" {
			return ws.closeFirst(nil)
		}
		n, err := strconv.ParseUint(code, 10, 16)
		if err != nil || len(reason) > 123 {
			return ws.send(opText, []byte("cannot close: use close:CODE:REASON, REASON up to 123 bytes"))
		}
		return ws.closeFirst(append(binary.BigEndian.AppendUint16(nil, uint16(n)), reason...))
	case "fragments":
		n, text, _ := strings.Cut(rest, ":")
		return ws.sendFragments(n, text)
	}
	return ws.send(opcode, message)
}

func (ws *session) send(opcode byte, payload []byte) error {
	_, err := ws.conn.Write(frame{fin: true, opcode: opcode, payload: payload}.encode())
	return err
}

// sendFragments sends text in n frames of about the same size.
func (ws *session) sendFragments(count, text string) error {
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > 1000 {
		return ws.send(opText, []byte("cannot fragment: use fragments:N:TEXT with N from 1 to 1000"))
	}
	size := (len(text) + n - 1) / n
	for i := range n {
		f := frame{fin: i == n-1, opcode: opContinuation}
		if i == 0 {
			f.opcode = opText
		}
		f.payload = []byte(text[min(i*size, len(text)):min((i+1)*size, len(text))])
		if _, err := ws.conn.Write(f.encode()); err != nil {
			return err
		}
	}
	return nil
}

// answerClose answers the client's close frame with its own code.
func (ws *session) answerClose(payload []byte) error {
	if len(payload) == 0 {
		ws.close(closeNoStatus, "")
		return errEnd
	}
	if len(payload) == 1 {
		return protocolError("a close code has two bytes")
	}
	code := int(binary.BigEndian.Uint16(payload))
	if !validCloseCode(code) {
		return protocolError("close code %d is reserved", code)
	}
	if !utf8.Valid(payload[2:]) {
		return &closeError{closeInvalid, "the reason is not UTF-8"}
	}
	ws.close(code, "")
	return errEnd
}

// validCloseCode says what may stand in a close frame (RFC 6455 section 7.4 and
// the IANA registry of close codes).
func validCloseCode(code int) bool {
	reserved := []int{1004, 1005, 1006, 1015}
	return code >= 1000 && code <= 1014 && !slices.Contains(reserved, code) || code >= 3000 && code <= 4999
}

// close sends a close frame and ends; the client has sent its own, or has broken
// the protocol.
func (ws *session) close(code int, reason string) {
	var payload []byte
	if code != closeNoStatus {
		payload = append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
	}
	// The client may be gone, which closes it as well.
	_ = ws.send(opClose, payload)
	if tcp, ok := ws.conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil {
		ws.linger()
	}
}

// closeFirst sends a close frame of our own will and reads on until the client
// has answered with its own; it is then the server that ends the connection
// (RFC 6455 section 7.1.1). The payload is not looked at: reserved codes are on
// order.
func (ws *session) closeFirst(payload []byte) error {
	if err := ws.send(opClose, payload); err != nil {
		return err
	}
	if err := ws.conn.SetReadDeadline(time.Now().Add(lingerFor)); err != nil {
		return err
	}
	for {
		f, err := readFrame(ws.r, maxMessage)
		if err != nil || f.opcode == opClose {
			return errEnd
		}
	}
}

// linger reads on until the client has closed, so that closing our side does
// not reset the connection under the close frame.
func (ws *session) linger() {
	if ws.conn.SetReadDeadline(time.Now().Add(lingerFor)) == nil {
		_, _ = io.Copy(io.Discard, ws.r) // ends with the client or the deadline
	}
}
