package main

import (
	"bufio"
	"crypto/sha1" // #nosec G505 -- RFC 6455 §4.2.2 asks for it
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Opcodes of RFC 6455 §5.2.
const (
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// largestFrame is more than anybody sends here.
const largestFrame = 64 << 10

var errClosed = errors.New("the peer has closed the WebSocket")

// framer reads and writes WebSocket messages of one frame each.
type framer struct {
	r     *bufio.Reader
	w     io.Writer
	masks bool // this side is the client (RFC 6455 §5.3)
	in    []byte
	out   []byte
}

// maskKey is the only one that is used: a mask protects against attacks on
// caches, of which there are none here.
var maskKey = [4]byte{0x5a, 0x17, 0xc3, 0x88}

// next returns the next message, and answers pings that come before it. The
// message is good until the next call.
func (f *framer) next() ([]byte, error) {
	for {
		opcode, payload, err := f.read()
		if err != nil {
			return nil, err
		}
		switch opcode {
		case opPing:
			if err := f.send(opPong, payload); err != nil {
				return nil, err
			}
		case opPong:
		case opClose:
			return nil, errClosed
		default:
			return payload, nil
		}
	}
}

func (f *framer) read() (opcode byte, payload []byte, err error) {
	head, err := f.take(2)
	if err != nil {
		return 0, nil, err
	}
	opcode, masked, n := head[0]&0x0f, head[1]&0x80 != 0, int(head[1]&0x7f)
	switch n {
	case 126:
		b, err := f.take(2)
		if err != nil {
			return 0, nil, err
		}
		n = int(binary.BigEndian.Uint16(b))
	case 127:
		return 0, nil, fmt.Errorf("cannot read a frame of more than %d bytes", largestFrame)
	}
	var key [4]byte
	if masked {
		b, err := f.take(4)
		if err != nil {
			return 0, nil, err
		}
		key = [4]byte(b)
	}
	if cap(f.in) < n {
		f.in = make([]byte, n)
	}
	payload = f.in[:n]
	if _, err := io.ReadFull(f.r, payload); err != nil {
		return 0, nil, err
	}
	if masked {
		mask(payload, key)
	}
	return opcode, payload, nil
}

// take gives the next n bytes, which are good until the next read.
func (f *framer) take(n int) ([]byte, error) {
	b, err := f.r.Peek(n)
	if err != nil {
		return nil, err
	}
	_, err = f.r.Discard(n)
	return b, err
}

// send sends a message in one write.
func (f *framer) send(opcode byte, payload []byte) error {
	n := len(payload)
	f.out = append(f.out[:0], 0x80|opcode)
	var maskBit byte
	if f.masks {
		maskBit = 0x80
	}
	switch {
	case n < 126:
		f.out = append(f.out, maskBit|byte(n))
	case n <= largestFrame-1:
		f.out = binary.BigEndian.AppendUint16(append(f.out, maskBit|126), uint16(n))
	default:
		return fmt.Errorf("cannot send a frame of %d bytes", n)
	}
	if f.masks {
		f.out = append(f.out, maskKey[:]...)
	}
	start := len(f.out)
	f.out = append(f.out, payload...)
	if f.masks {
		mask(f.out[start:], maskKey)
	}
	_, err := f.w.Write(f.out)
	return err
}

func mask(b []byte, key [4]byte) {
	for i := range b {
		b[i] ^= key[i%4]
	}
}

// upgradeRequest asks for a WebSocket. The key is the example of RFC 6455 §1.3.
func upgradeRequest(addr string) []byte {
	return []byte("GET /echo HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
}

// acceptUpgrade is the answer to a request for a WebSocket.
func acceptUpgrade(key string) []byte {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
}
