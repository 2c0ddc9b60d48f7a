package proxy

import (
	"encoding/binary"
	"unicode/utf8"
)

// Opcodes of WebSocket frames (RFC 6455 §5.2) that creel looks at.
const (
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// Close codes (RFC 6455 §7.4.1, and the IANA registry for 1012).
const (
	closeGoingAway      = 1001
	closePolicy         = 1008
	closeInternalError  = 1011
	closeServiceRestart = 1012
)

// maxControl is the longest payload of a control frame (RFC 6455 §5.5), and
// maxReason what that leaves for a close frame's reason.
const (
	maxControl = 125
	maxReason  = maxControl - 2
)

// soundClose corrects the payload of a close frame: codes that must not be sent
// become 1011, the reason becomes UTF-8.
func soundClose(payload []byte) []byte {
	if len(payload) == 0 {
		return payload
	}
	code := uint16(0)
	if len(payload) >= 2 {
		code = binary.BigEndian.Uint16(payload)
	}
	if sendable(code) && utf8.Valid(payload[2:]) {
		return payload
	}
	if !sendable(code) {
		code = closeInternalError
	}
	var reason string
	if len(payload) > 2 {
		reason = string(payload[2:])
	}
	return closePayload(code, reason)
}

// sendable tells whether a close code may stand in a frame (RFC 6455 §7.4):
// 1004, 1005, 1006 and 1015 are reserved for telling what no frame told.
func sendable(code uint16) bool {
	switch {
	case code >= 3000 && code <= 4999:
		return true
	case code < 1000 || code > 1014:
		return false
	}
	return code != 1004 && code != 1005 && code != 1006
}

// closePayload is a close frame's payload. The reason is cut to what a control
// frame holds, at the border of a character.
func closePayload(code uint16, reason string) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, maxControl), code)
	for _, r := range reason { // what is not UTF-8 becomes U+FFFD
		if len(b)-2+utf8.RuneLen(r) > maxReason {
			break
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}

// appendFrame appends a frame with a payload of at most maxControl bytes, masked
// if key is not nil. payload may be masked in place.
func appendFrame(b []byte, first byte, key, payload []byte) []byte {
	length := byte(len(payload))
	if key == nil {
		return append(append(b, first, length), payload...)
	}
	b = append(append(b, first, 0x80|length), key...)
	at := len(b)
	b = append(b, payload...)
	mask(b[at:], key)
	return b
}

// mask masks or unmasks a payload (RFC 6455 §5.3).
func mask(b, key []byte) {
	for i := range b {
		b[i] ^= key[i&3]
	}
}
