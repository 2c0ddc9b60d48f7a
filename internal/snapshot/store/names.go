package store

import (
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// sidecarDir is where a snapshot keeps, among kopia's own entries at its root,
// what those cannot say.
const sidecarDir = ".creel"

// hexName begins names that stand for others: kopia keeps names as JSON, which
// is UTF-8.
const hexName = ".creel-name-"

// kopiaName is the name under which kopia keeps an entry; the root's own entries
// make room for the sidecar. Different names stay different.
func kopiaName(name string, atRoot bool) string {
	if utf8.ValidString(name) && !strings.HasPrefix(name, hexName) && (!atRoot || name != sidecarDir) {
		return name
	}
	return hexName + hex.EncodeToString([]byte(name))
}

// trueName is the name that kopiaName was given.
func trueName(name string) string {
	if digits, ok := strings.CutPrefix(name, hexName); ok {
		if raw, err := hex.DecodeString(digits); err == nil {
			return string(raw)
		}
	}
	return name
}
