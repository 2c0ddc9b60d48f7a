package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"creel/internal/config"
)

// Cost of a new hash: the second choice of RFC 9106 §4, for where 2 GiB for each
// attempt is not to be had.
const (
	hashTime    = 3
	hashMemory  = 64 << 10 // KiB
	hashThreads = 4
	hashSalt    = 16
	hashLength  = 32
)

// newHash is what a new hash is made with. Tests make it cheap.
var newHash = hash{time: hashTime, memory: hashMemory, threads: hashThreads}

// Bounds of a hash that was made elsewhere.
const (
	maxHashTime   = 100
	maxHashMemory = 1 << 20 // KiB: 1 GiB
)

// Lengths of a password, in bytes.
const (
	minPassword = 8
	maxPassword = 1024
)

// HashPassword gives the line to put into auth.password.file: argon2id, in the
// form that the reference implementation prints.
func HashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > maxPassword {
		return "", invalid("a password has %d to %d bytes, and this one has %d", minPassword, maxPassword, len(password))
	}
	salt := make([]byte, hashSalt)
	_, _ = rand.Read(salt) // it does not fail: it ends the program instead
	h := newHash
	h.salt = salt
	return h.with(password), nil
}

// hash is an argon2id hash with what it was made with.
type hash struct {
	time, memory uint32
	threads      uint8
	salt, sum    []byte
}

func (h hash) of(password string, length uint32) []byte {
	return argon2.IDKey([]byte(password), h.salt, h.time, h.memory, h.threads, length)
}

func (h hash) with(password string) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64.EncodeToString(h.salt), b64.EncodeToString(h.of(password, hashLength)))
}

// matches tells whether a password is the one, in constant time.
func (h hash) matches(password string) bool {
	return subtle.ConstantTimeCompare(h.of(password, uint32(len(h.sum))), h.sum) == 1
}

func parseHash(line string) (h hash, err error) {
	parts := strings.Split(line, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, errors.New("it is not what `creel auth hash-password` prints ($argon2id$…)")
	}
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return h, fmt.Errorf("its version is %q, not v=%d", parts[2], argon2.Version)
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, fmt.Errorf("cannot understand %q: %w", parts[3], err)
	}
	if h.time < 1 || h.time > maxHashTime || h.memory < 8 || h.memory > maxHashMemory || h.threads < 1 {
		return h, fmt.Errorf("%q is out of bounds: t from 1 to %d, m from 8 to %d, p at least 1", parts[3], maxHashTime, maxHashMemory)
	}
	for i, into := range []*[]byte{&h.salt, &h.sum} {
		if *into, err = base64.RawStdEncoding.DecodeString(parts[4+i]); err != nil || len(*into) < 8 || len(*into) > 128 {
			return h, errors.New("its salt or its hash is not whole")
		}
	}
	return h, nil
}

// password is signing in with the owner's password: the one of auth.password.file, or
// else one that an owner has set (ownerpassword.go).
type password struct {
	file *hash         // nil: there is no such file
	kept func() *hash  // the other one; nil: there is none
	busy chan struct{} // one attempt at a time: each takes memory
}

func newPassword(cfg config.AuthPassword, kept func() *hash) (*password, error) {
	p := &password{kept: kept, busy: make(chan struct{}, 1)}
	if cfg.File == "" {
		return p, nil
	}
	line, err := readSecret("auth.password.file", cfg.File)
	if err != nil {
		return nil, err
	}
	h, err := parseHash(line)
	if err != nil {
		return nil, fmt.Errorf("cannot use auth.password.file: %w", err)
	}
	p.file = &h
	return p, nil
}

func (p *password) hash() *hash {
	if p.file != nil {
		return p.file
	}
	return p.kept()
}

func (p *password) routes(*Gate) []Route { return nil } // POST LoginPath is the gate's

func (p *password) offer() (offer, bool) {
	return offer{Kind: "password", Text: "Sign in"}, p.hash() != nil
}

// work waits for leave to hash, and gives what gives it back.
func (p *password) work(ctx context.Context) (done func(), err error) {
	select {
	case p.busy <- struct{}{}:
		return func() { <-p.busy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// login tries a password; it returns false where none is set.
func (p *password) login(g *Gate, w http.ResponseWriter, r *http.Request, from Sender, next string) bool {
	right := p.hash()
	if right == nil {
		return false
	}
	var slow *slowedError
	if err := g.attempts.guess(from.Addr, time.Now()); errors.As(err, &slow) {
		g.slowed(w, slow.wait, next)
		return true
	}
	done, err := p.work(r.Context())
	if err != nil {
		return true // the client is gone
	}
	given := r.PostForm.Get("password")
	matches := len(given) <= maxPassword && right.matches(given)
	done()
	if !matches {
		g.refuse(w, from, "password", next, "That is not the password.", time.Now())
		return true
	}
	g.signIn(w, r, from, Session{Name: "owner", Method: methodPassword, Scopes: OwnerScopes}, next)
	return true
}
