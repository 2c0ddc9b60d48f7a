package proxy

import (
	"encoding/binary"
	"encoding/json"
)

// Wording says a message of the gateway's to a client in other words, in at most
// room bytes of UTF-8; it returns the message itself where it has nothing to add.
type Wording func(message string, room int) string

const (
	// wordedTexts is how many of the first text messages are looked at: a client that
	// is refused is told so in one of them.
	wordedTexts = 3
	// maxWorded is the payload, in bytes, of the largest message that is looked at. A
	// refusal takes a few hundred.
	maxWorded = 4 << 10
)

// wording holds back the first small text messages of a gateway, each until it is
// there whole, to add to a refusal where its reader is to go. All else passes as it
// comes, and nothing is kept once these have passed.
type wording struct {
	say   Wording
	texts int    // messages that are still to be looked at
	held  []byte // a frame, as far as it has come; nil: none is held back
}

func newWording(say Wording) *wording {
	if say == nil {
		return nil
	}
	return &wording{say: say, texts: wordedTexts}
}

// begins tells whether a frame with this first byte is to be held back: an
// unfragmented text message without extensions (RFC 6455 §5.2).
func (w *wording) begins(first byte) bool {
	const finalText = 0x81
	if w == nil || w.texts == 0 || first != finalText {
		return false
	}
	w.held = make([]byte, 0, 512)
	return true
}

func (w *wording) holds() bool { return w != nil && w.held != nil }

// release lets go of what is held.
func (w *wording) release() []byte {
	frame := w.held
	w.held = nil
	w.texts--
	return frame
}

// take holds bytes of the frame that f is in, and gives what is to be sent.
func (w *wording) take(b []byte, f *frames) []byte {
	w.held = append(w.held, b...)
	switch {
	case f.between():
		return w.reworded(w.release(), f.headerSize())
	case f.have == 0 && (f.masked() || f.payloadSize() > maxWorded): // its header is here
		return w.release()
	}
	return nil
}

// reworded is a frame with another message in it, or the same frame.
func (w *wording) reworded(frame []byte, header int) []byte {
	var answer map[string]json.RawMessage
	var refusal map[string]json.RawMessage
	var message string
	if json.Unmarshal(frame[header:], &answer) != nil || json.Unmarshal(answer["error"], &refusal) != nil || json.Unmarshal(refusal["message"], &message) != nil {
		return frame // it refuses nothing
	}
	words := w.say(message, maxWorded)
	if words == message {
		return frame
	}
	payload, err := func() (_ []byte, err error) {
		if refusal["message"], err = json.Marshal(words); err != nil {
			return nil, err
		}
		if answer["error"], err = json.Marshal(refusal); err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}()
	if err != nil || len(payload) > 1<<16-1 {
		return frame
	}
	out := append(make([]byte, 0, len(payload)+4), frame[0])
	if len(payload) <= maxControl {
		out = append(out, byte(len(payload)))
	} else {
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(len(payload)))
	}
	return append(out, payload...)
}

// closing is the payload of a close frame in other words.
func (w *wording) closing(payload []byte) []byte {
	if w == nil || len(payload) <= 2 {
		return payload
	}
	reason := string(payload[2:])
	words := w.say(reason, maxReason)
	if words == reason || len(words) > maxReason {
		return payload
	}
	return closePayload(binary.BigEndian.Uint16(payload), words)
}
