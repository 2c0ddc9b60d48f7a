package store

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
)

// idTime is the time in an ID.
const idTime = "20060102T150405Z"

var idForm = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4}$`)

// NewID makes an ID for a snapshot whose cut is at t.
func NewID(t time.Time) ID {
	var chance [2]byte
	_, _ = rand.Read(chance[:]) // never fails: it ends the program rather
	return ID(t.UTC().Format(idTime) + "-" + hex.EncodeToString(chance[:]))
}

// ParseID reads an ID.
func ParseID(s string) (ID, error) {
	if idForm.MatchString(s) {
		if _, err := time.Parse(idTime, s[:len(idTime)]); err == nil {
			return ID(s), nil
		}
	}
	return "", fmt.Errorf("%q is not the id of a snapshot, such as 20261126T015400Z-7f3a", s)
}
