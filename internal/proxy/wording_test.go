package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
)

// textFrame is an unmasked text message.
func textFrame(payload string) []byte {
	b := []byte{0x81}
	switch {
	case len(payload) <= maxControl:
		b = append(b, byte(len(payload)))
	default:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(len(payload)))
	}
	return append(b, payload...)
}

// louder adds to messages that are refusals.
func louder(message string, room int) string {
	if said := message + ": see /here"; strings.HasPrefix(message, "no") && len(said) <= room {
		return said
	}
	return message
}

// TestWording: refusals among the first messages, and the reason of the end, are
// worded; whatever else passes is the same to the byte, however it is cut up.
func TestWording(t *testing.T) {
	const refusal = `{"type":"res","id":"r1","ok":false,"error":{"code":"NOT_PAIRED","message":"no","details":{"requestId":"a","n":1.50}}}`
	challenge, large := `{"event":"challenge","payload":{"nonce":"x"}}`, `{"error":{"message":"no"},"pad":"`+strings.Repeat("x", maxWorded)+`"}`
	endWith := func(reason string) []byte {
		return appendFrame(nil, 0x80|opClose, nil, closePayload(closePolicy, reason))
	}
	binaryFrame := append([]byte{0x82, 5}, "bytes"...)
	long := "no" + strings.Repeat("!", maxReason-2)
	for name, tt := range map[string]struct{ in, want [][]byte }{
		"a refusal":               {[][]byte{textFrame(challenge), textFrame(refusal)}, nil},
		"the end":                 {[][]byte{textFrame(challenge), endWith("no")}, [][]byte{textFrame(challenge), endWith("no: see /here")}},
		"an end of another kind":  {[][]byte{endWith("gone")}, [][]byte{endWith("gone")}},
		"no room":                 {[][]byte{endWith(long)}, [][]byte{endWith(long)}},
		"no JSON":                 {[][]byte{textFrame("no"), textFrame(""), binaryFrame}, [][]byte{textFrame("no"), textFrame(""), binaryFrame}},
		"a large message":         {[][]byte{textFrame(large)}, [][]byte{textFrame(large)}},
		"later than the first":    {[][]byte{textFrame("1"), textFrame("2"), textFrame("3"), textFrame(refusal)}, [][]byte{textFrame("1"), textFrame("2"), textFrame("3"), textFrame(refusal)}},
		"a fragment of a message": {[][]byte{append([]byte{0x01, 2}, "no"...), append([]byte{0x80, 1}, "!"...)}, [][]byte{append([]byte{0x01, 2}, "no"...), append([]byte{0x80, 1}, "!"...)}},
	} {
		in := bytes.Join(tt.in, nil)
		for _, size := range []int{1, 2, 3, 7, 100, len(in)} {
			f := &frames{words: newWording(louder)}
			var got []byte
			for b := in; len(b) > 0; {
				n := min(size, len(b))
				if err := f.pass(bytes.Clone(b[:n]), func(out []byte) error { got = append(got, out...); return nil }); err != nil {
					t.Fatal(err)
				}
				b = b[n:]
			}
			if !f.between() || f.words.held != nil {
				t.Errorf("%s in pieces of %d: something is held back", name, size)
			}
			if tt.want != nil && !bytes.Equal(got, bytes.Join(tt.want, nil)) {
				t.Errorf("%s in pieces of %d: %q", name, size, got)
			}
			if tt.want != nil {
				continue
			}
			rest, ok := bytes.CutPrefix(got, textFrame(challenge))
			if !ok || len(rest) < 4 || rest[0] != 0x81 || rest[1] != 126 || int(binary.BigEndian.Uint16(rest[2:])) != len(rest)-4 {
				t.Fatalf("%s in pieces of %d: %q", name, size, got)
			}
			var said, was any
			if json.Unmarshal(rest[4:], &said) != nil || json.Unmarshal([]byte(refusal), &was) != nil {
				t.Fatalf("%s: %q", name, rest[4:])
			}
			was.(map[string]any)["error"].(map[string]any)["message"] = "no: see /here"
			a, _ := json.Marshal(said)
			b, _ := json.Marshal(was)
			if !bytes.Equal(a, b) {
				t.Errorf("%s in pieces of %d: %s", name, size, a)
			}
		}
	}
}
