package auth

import (
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"creel/internal/durable"
)

const maxAgent = 200 // bytes of a User-Agent that are kept

func readSum(text string, into *sum) bool {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(into) {
		return false
	}
	copy(into[:], b)
	return true
}

func (s sum) String() string { return hex.EncodeToString(s[:]) }

// same compares in constant time. The map has found the sum already; that it is
// compared again costs nothing and keeps the promise readable.
func same(a, b sum) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// findSession gives the live session of a secret; nil: there is none.
func (s *state) findSession(secret string, now time.Time) *sessionRecord {
	key := sumOf(secret)
	found := s.current(now).bySum[key]
	if found == nil {
		found = s.look().bySum[key] // another creel may have made it a moment ago
	}
	if found == nil || !same(found.sum, key) || found.ended(now, s.life, time.Unix(found.seen.Load(), 0)) {
		return nil
	}
	return found
}

// findToken gives the live token of a secret; nil: there is none.
func (s *state) findToken(secret string, now time.Time) *tokenRecord {
	key := sumOf(secret)
	found := s.current(now).tokenBySum[key]
	if found == nil {
		found = s.look().tokenBySum[key]
	}
	if found == nil || !same(found.sum, key) || !found.Expires.IsZero() && !found.Expires.After(now) {
		return nil
	}
	return found
}

// sessions lists the live ones.
func (s *state) sessions(now time.Time) []Session {
	list := []Session{}
	for _, r := range s.look().copy().Sessions {
		if !r.ended(now, s.life, r.LastSeen) {
			list = append(list, r.Session)
		}
	}
	return list
}

func (s *state) tokens() []Token {
	list := []Token{}
	for _, r := range s.look().copy().Tokens {
		list = append(list, r.Token)
	}
	return list
}

// addSession keeps a session. Its error says that only this creel knows it: that
// the disk is full is no reason to keep the owner out.
func (s *state) addSession(secret string, session Session) error {
	key := sumOf(secret)
	return s.change(true, durable.Synced, func(r *record) error {
		r.Sessions = append(r.Sessions, &sessionRecord{Session: session, Sum: key.String(), sum: key})
		return nil
	})
}

func (s *state) removeSession(id string) (removed Session, err error) {
	err = s.change(true, durable.Synced, func(r *record) error {
		found, err := takeOut(&r.Sessions, "session", id, func(s *sessionRecord) string { return s.ID })
		if err == nil {
			removed = found.Session
		}
		return err
	})
	return removed, err
}

// takeOut takes what has an id out of a list. Its error wraps ErrUnknown if there is
// none.
func takeOut[T any](list *[]T, what, id string, idOf func(T) string) (taken T, err error) {
	i := slices.IndexFunc(*list, func(item T) bool { return idOf(item) == id })
	if i < 0 {
		return taken, fmt.Errorf("%w: %s %s", ErrUnknown, what, cut(printable(id), 100))
	}
	taken = (*list)[i]
	*list = slices.Delete(*list, i, i+1)
	return taken, nil
}

func (s *state) addToken(secret string, t Token) error {
	key := sumOf(secret)
	return s.change(false, durable.Synced, func(r *record) error {
		if len(r.Tokens) >= maxTokens {
			return fmt.Errorf("%w: %d tokens; revoke some", ErrFull, len(r.Tokens))
		}
		r.Tokens = append(r.Tokens, &tokenRecord{Token: t, Sum: key.String(), sum: key})
		return nil
	})
}

func (s *state) removeToken(id string) (removed Token, err error) {
	err = s.change(true, durable.Synced, func(r *record) error {
		found, err := takeOut(&r.Tokens, "token", id, func(t *tokenRecord) string { return t.ID })
		if err == nil {
			removed = found.Token
		}
		return err
	})
	return removed, err
}

// addCode keeps a code that signs in once.
func (s *state) addCode(secret string, expires time.Time) error {
	key := sumOf(secret)
	return s.change(true, durable.Synced, func(r *record) error {
		r.Codes = append(r.Codes, codeRecord{Sum: key.String(), Expires: expires})
		return nil
	})
}

// useCode uses a code up. Its error wraps ErrUnknown if there is none like that.
func (s *state) useCode(secret string, now time.Time) error {
	key := sumOf(secret)
	return s.change(true, durable.Synced, func(r *record) error {
		for i, c := range r.Codes {
			var known sum
			if readSum(c.Sum, &known) && same(known, key) && (c.Expires.IsZero() || c.Expires.After(now)) {
				r.Codes = slices.Delete(r.Codes, i, i+1)
				return nil
			}
		}
		return fmt.Errorf("%w: the link was used, has expired, or never was one", ErrUnknown)
	})
}
