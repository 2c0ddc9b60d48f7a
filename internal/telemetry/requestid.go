package telemetry

import "math/rand/v2"

// maxRequestID is the length of the longest request id that is accepted.
const maxRequestID = 128

// RequestID returns a new id: 26 characters of a-z and 2-7 (the base32
// alphabet of RFC 4648 section 6, in lower case) that stand for 128 random
// bits.
//
// An id names a request and grants nothing, so it has to be unique and need
// not be unpredictable: the runtime's ChaCha8 generator does, which the kernel
// seeds and which costs no system call and no lock.
func RequestID() string {
	const alphabet = "abcdefghijklmnopqrstuvwxyz234567"
	var id [26]byte
	high, low := rand.Uint64(), rand.Uint64()
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = alphabet[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(id[:])
}

// ValidRequestID tells whether an id that a trusted proxy sent may be taken
// over: 1 to 128 characters of A-Z, a-z, 0-9 and "-_.:=+/@". That covers UUIDs
// and what nginx, HAProxy, Envoy and the large providers write; no character
// needs quoting in a log line, a header, JSON or HTML.
func ValidRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case isWord(c), c == '.', c == ':', c == '=', c == '+', c == '/', c == '@':
		default:
			return false
		}
	}
	return true
}
