package auth

import "time"

// passkeyRecord is a passkey that an owner has registered.
type passkeyRecord struct {
	ID         string    `json:"id"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
	Credential []byte    `json:"credential"` // as go-webauthn writes it
}
