package openclaw

import (
	"regexp"
	"strings"
)

// Advise adds to a message with which OpenClaw refuses a client where its reader is
// to go: pages is the address of creel's pages, such as "https://bot.example/_creel".
// The message itself stays, since clients look for words in it. The result has at
// most room bytes; what does not fit is said shorter, or not at all.
func Advise(message, pages string, room int) string {
	text := strings.ToLower(message)
	var long, short string
	switch {
	case strings.Contains(text, "pairing required"):
		long, short = ". Approve this device at "+pages+"/devices, or with `creel devices approve`.", " -> /_creel/devices"
	case strings.Contains(text, "token mismatch"), strings.Contains(text, "token missing"):
		long, short = ". Open the gateway from "+pages+"/, which hands over the token.", " -> /_creel/open"
	default:
		return message
	}
	for _, advice := range []string{long, short} {
		if said := strings.TrimSuffix(message, ".") + advice; len(said) <= room {
			return said
		}
	}
	return message
}

var pairingRequest = regexp.MustCompile(`^pairing required\b.*\(requestId: ([0-9A-Za-z-]{1,64})\)`)

// PairingRequest is the id of the request with which a device waits to be let in, as
// the reason of the close frame names it that refuses it; "": the reason is another.
func PairingRequest(reason string) string {
	if m := pairingRequest.FindStringSubmatch(reason); m != nil {
		return m[1]
	}
	return ""
}
