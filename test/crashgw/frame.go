package crashgw

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// Opcodes of RFC 6455 section 11.8.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// Close codes of RFC 6455 section 7.4.1 that crashgw sends by itself.
const (
	closeProtocol = 1002
	closeNoStatus = 1005 // never on the wire: "no code"
	closeInvalid  = 1007
	closeTooBig   = 1009
)

// maxMessage bounds a message, fragments together.
const maxMessage = 16 << 20

// frame is a WebSocket frame, RFC 6455 section 5.2.
type frame struct {
	fin     bool
	opcode  byte
	payload []byte
}

// closeError is a reason to fail the connection.
type closeError struct {
	code   int
	reason string
}

func (e *closeError) Error() string {
	return fmt.Sprintf("websocket closed with %d: %s", e.code, e.reason)
}

func protocolError(format string, args ...any) *closeError {
	return &closeError{closeProtocol, fmt.Sprintf(format, args...)}
}

// readFrame reads a client's frame whose payload has at most limit bytes. A
// breach of the protocol is a *closeError; other errors are the connection's.
func readFrame(r *bufio.Reader, limit int) (frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{fin: head[0]&0x80 != 0, opcode: head[0] & 0x0f}
	if head[0]&0x70 != 0 {
		return f, protocolError("reserved bits are set without an extension")
	}
	if head[1]&0x80 == 0 {
		return f, protocolError("client frames must be masked")
	}
	n, err := readLength(r, head[1]&0x7f)
	if err != nil {
		return f, err
	}
	switch {
	case f.opcode >= opClose && (n > 125 || !f.fin):
		return f, protocolError("control frames are short and unfragmented")
	case f.opcode > opBinary && f.opcode < opClose || f.opcode > opPong:
		return f, protocolError("opcode %d is reserved", f.opcode)
	case n > uint64(limit):
		return f, &closeError{closeTooBig, "the message is too big"}
	}
	var key [4]byte
	if _, err := io.ReadFull(r, key[:]); err != nil {
		return f, err
	}
	f.payload = make([]byte, n)
	if _, err := io.ReadFull(r, f.payload); err != nil {
		return f, err
	}
	mask(f.payload, key)
	return f, nil
}

// readLength reads the extended payload length. The shortest form is a must.
func readLength(r io.Reader, short byte) (uint64, error) {
	var b [8]byte
	switch short {
	case 126:
		if _, err := io.ReadFull(r, b[:2]); err != nil {
			return 0, err
		}
		n := uint64(binary.BigEndian.Uint16(b[:2]))
		if n < 126 {
			return 0, protocolError("the length is not in its shortest form")
		}
		return n, nil
	case 127:
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return 0, err
		}
		n := binary.BigEndian.Uint64(b[:])
		if n <= 0xffff || n>>63 != 0 {
			return 0, protocolError("the length is not in its shortest form")
		}
		return n, nil
	default:
		return uint64(short), nil
	}
}

// mask applies a masking key, which is its own inverse (RFC 6455 section 5.3).
func mask(b []byte, key [4]byte) {
	for i := range b {
		b[i] ^= key[i%4]
	}
}

// encode gives the frame as a server sends it, unmasked.
func (f frame) encode() []byte {
	first := f.opcode
	if f.fin {
		first |= 0x80
	}
	out := []byte{first}
	switch n := len(f.payload); {
	case n < 126:
		out = append(out, byte(n))
	case n <= 0xffff:
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
	}
	return append(out, f.payload...)
}
