package proxy

import "encoding/binary"

// frames follows the frames of one direction of a WebSocket. It passes
// everything on as it comes, to the byte, but for close frames, whose code may
// be one that must not be sent, and for pongs that answer creel's own pings.
// Which of them a frame is, its first byte tells; so nothing but those is ever
// held back.
type frames struct {
	header [14]byte
	have   int    // bytes of the header that are here
	left   uint64 // bytes of the payload still to come
	held   int    // bytes in hold; 0: this frame goes on as it comes
	hold   [maxHeld]byte
	closed bool     // a close frame has passed
	words  *wording // of the gateway's first messages and its close frames; nil: its own
}

// maxHeld is the size of the largest frame that is held back: two bytes, a mask,
// and the payload of a control frame (RFC 6455 §5.2, §5.5).
const maxHeld = 2 + 4 + maxControl

// between tells whether the next byte begins a frame, so that one of creel's own
// may go before it.
func (f *frames) between() bool { return f.have == 0 && f.left == 0 }

// pass takes bytes of the stream and gives to emit what is to be sent on. emit
// must not keep them.
func (f *frames) pass(b []byte, emit func([]byte) error) error {
	from := 0 // b[from:at] goes on as it is, and is not emitted yet
	for at := 0; at < len(b); {
		begins := f.between()
		if begins && f.words.begins(b[at]) {
			if err := emitSome(b[from:at], emit); err != nil {
				return err
			}
		}
		n := f.step(b[at:])
		if f.words.holds() {
			if err := emitSome(f.words.take(b[at:at+n], f), emit); err != nil {
				return err
			}
			at += n
			from = at
			continue
		}
		if begins && f.watched() || f.held > 0 {
			if err := emitSome(b[from:at], emit); err != nil {
				return err
			}
			f.held += copy(f.hold[f.held:], b[at:at+n])
			from = at + n
			if err := f.settle(emit); err != nil {
				return err
			}
		}
		at += n
	}
	return emitSome(b[from:], emit)
}

func emitSome(b []byte, emit func([]byte) error) error {
	if len(b) == 0 {
		return nil
	}
	return emit(b)
}

// step takes up the next bytes, at least one and all of the same frame, and says
// how many.
func (f *frames) step(b []byte) int {
	if f.left > 0 {
		n := min(f.left, uint64(len(b)))
		f.left -= n
		return int(n)
	}
	f.header[f.have] = b[0]
	f.have++
	if f.have >= 2 && f.have == f.headerSize() {
		f.have, f.left = 0, f.payloadSize()
	}
	return 1
}

// settle lets go of what is held back, once it is there whole, or turns out to
// be no control frame that anyone could send (it is too long).
func (f *frames) settle(emit func([]byte) error) error {
	oversized := f.held >= 2 && f.header[1]&0x7f > maxControl
	if !oversized && !f.between() {
		return nil
	}
	held := f.hold[:f.held]
	f.held = 0
	if oversized {
		return emit(held)
	}
	return emitSome(f.sound(held), emit)
}

// sound gives what is to be sent in place of a whole close frame or pong.
func (f *frames) sound(frame []byte) []byte {
	var key []byte
	payload := frame[2:]
	if f.masked() {
		key, payload = frame[2:6], frame[6:]
		mask(payload, key)
	}
	if f.opcode() == opPong {
		if string(payload) == pingPayload {
			return nil
		}
	} else {
		f.closed = true
		payload = f.words.closing(soundClose(payload))
	}
	return appendFrame(nil, frame[0], key, payload)
}

func (f *frames) opcode() byte  { return f.header[0] & 0x0f }
func (f *frames) masked() bool  { return f.header[1]&0x80 != 0 }
func (f *frames) watched() bool { return f.opcode() == opClose || f.opcode() == opPong }

// headerSize is the size of the header, as its first two bytes tell.
func (f *frames) headerSize() int {
	n := 2
	switch f.header[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if f.masked() {
		n += 4
	}
	return n
}

func (f *frames) payloadSize() uint64 {
	switch n := f.header[1] & 0x7f; n {
	case 126:
		return uint64(binary.BigEndian.Uint16(f.header[2:]))
	case 127:
		return binary.BigEndian.Uint64(f.header[2:])
	default:
		return uint64(n)
	}
}
