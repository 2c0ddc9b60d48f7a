package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"creel/internal/config"
	"creel/internal/durable"
)

const (
	stateName = "state.json"
	lockName  = "state.lock"
	// stateVersion is of the format; a newer one is not touched.
	stateVersion = 1
	// lockTime bounds the wait for another creel that changes the state.
	lockTime = 5 * time.Second
	// lookEvery is how often the file is looked at for changes of another creel's:
	// what it has taken away may be good here for so much longer.
	lookEvery = time.Second
	// flushEvery is how often it is written when sessions were last used.
	flushEvery = time.Minute
)

// The most that is kept of each.
const (
	maxSessions = 1000 // the one seen longest ago makes room
	maxTokens   = 1000
	maxCodes    = 100 // the oldest makes room
	maxPasskeys = 100
)

// record is the file: all that must outlive a creel.
type record struct {
	Version  int              `json:"version"`
	Sessions []*sessionRecord `json:"sessions,omitempty"`
	Tokens   []*tokenRecord   `json:"tokens,omitempty"`
	Codes    []codeRecord     `json:"codes,omitempty"`
	Passkeys []passkeyRecord  `json:"passkeys,omitempty"`
	Password *passwordRecord  `json:"password,omitempty"` // it is never changed, but replaced
}

type sessionRecord struct {
	Session
	Sum string `json:"sum"`

	sum       sum
	principal principalBox
	seen      *atomic.Int64 // Unix seconds; the same for every reading of the file
	unsaved   bool          // it could not be written; this creel alone knows it
}

type tokenRecord struct {
	Token
	Sum string `json:"sum"`

	sum       sum
	principal principalBox
	byBrowser principalBox // the same, shown in Basic
	seen      *atomic.Int64
}

// codeRecord is a link that nobody has used yet.
type codeRecord struct {
	Sum     string    `json:"sum"`
	Expires time.Time `json:"expires,omitzero"` // zero: with the creel that made it
}

// view is the record in a form to look into. It is never changed.
type view struct {
	record
	bySum      map[sum]*sessionRecord
	tokenBySum map[sum]*tokenRecord
	file       os.FileInfo // what it was read from; nil: there is no file
}

// state is what the gate knows of sessions, tokens and codes. Readers take no
// lock. Whoever changes it holds mu and the lock file, and starts from what is on
// disk, so that two creels may do so.
type state struct {
	dir  string
	life config.AuthSession
	log  *slog.Logger

	mu     sync.Mutex
	now    atomic.Pointer[view]
	looked atomic.Int64 // Unix nanoseconds
	dirty  atomic.Bool  // some session was used since it was last written
}

func openState(dir string, life config.AuthSession, log *slog.Logger) (*state, error) {
	s := &state{dir: dir, life: life, log: log}
	s.now.Store(newView(record{}, nil, nil))
	if _, err := s.refresh(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *state) path() string { return filepath.Join(s.dir, stateName) }

// current is the state, with what another creel has changed more than a moment
// ago.
func (s *state) current(now time.Time) *view {
	if last := s.looked.Load(); now.UnixNano()-last > int64(lookEvery) && s.looked.CompareAndSwap(last, now.UnixNano()) {
		s.look()
	}
	return s.now.Load()
}

// look looks for changes of another creel's. It waits for nobody: while this creel
// changes the state itself, what was known before counts.
func (s *state) look() *view {
	if !s.mu.TryLock() {
		return s.now.Load()
	}
	defer s.mu.Unlock()
	v, err := s.read()
	if err != nil {
		s.log.Warn("sessions and tokens cannot be read; those known so far count", "error", err)
	}
	return v
}

// refresh reads the file if it is another than was read last.
func (s *state) refresh() (*view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read()
}

// read is refresh for those who hold mu.
func (s *state) read() (*view, error) {
	old := s.now.Load()
	info, err := os.Stat(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		if old.file == nil {
			return old, nil
		}
		info, err = nil, nil
	}
	if err != nil {
		return old, fmt.Errorf("cannot look at sessions and tokens: %w", err)
	}
	if old.file != nil && info != nil && os.SameFile(old.file, info) && old.file.ModTime().Equal(info.ModTime()) && old.file.Size() == info.Size() {
		return old, nil
	}
	var r record
	if info != nil {
		b, err := os.ReadFile(s.path())
		if err != nil {
			return old, fmt.Errorf("cannot read sessions and tokens: %w", err)
		}
		if err = durable.CheckVersion(b, stateVersion); err == nil {
			err = json.Unmarshal(b, &r)
		}
		if err != nil {
			return old, fmt.Errorf("cannot use %s: %w; move it away, and everybody has to sign in anew", s.path(), err)
		}
	}
	v := newView(r, info, old)
	s.now.Store(v)
	return v, nil
}

// newView makes a record fit to look into. Of sessions that old knows it keeps
// when they were last used, and those that could not be written.
func newView(r record, file os.FileInfo, old *view) *view {
	v := &view{record: r, bySum: map[sum]*sessionRecord{}, tokenBySum: map[sum]*tokenRecord{}, file: file}
	for _, s := range v.Sessions {
		if !readSum(s.Sum, &s.sum) {
			continue // a sum that is none matches nothing
		}
		s.principal = box(Principal{Name: s.Name, Kind: KindSession, Scopes: s.Scopes, Session: s.ID})
		s.seen = seenOf(s.LastSeen)
		if old != nil {
			if known := old.bySum[s.sum]; known != nil {
				known.seen.Store(max(known.seen.Load(), s.seen.Load()))
				s.seen = known.seen
			}
		}
		v.bySum[s.sum] = s
	}
	for _, t := range v.Tokens {
		if !readSum(t.Sum, &t.sum) {
			continue
		}
		who := Principal{Name: t.Name, Kind: KindToken, Scopes: t.Scopes, Token: t.ID}
		t.principal = box(who)
		who.byBrowser = true
		t.byBrowser = box(who)
		t.seen = seenOf(t.LastUsed)
		if old != nil {
			if known := old.tokenBySum[t.sum]; known != nil {
				known.seen.Store(max(known.seen.Load(), t.seen.Load()))
				t.seen = known.seen
			}
		}
		v.tokenBySum[t.sum] = t
	}
	if old != nil {
		for _, s := range old.Sessions {
			if s.unsaved && v.bySum[s.sum] == nil {
				v.Sessions = append(v.Sessions, s)
				v.bySum[s.sum] = s
			}
		}
	}
	return v
}

func seenOf(t time.Time) *atomic.Int64 {
	seen := new(atomic.Int64)
	if !t.IsZero() {
		seen.Store(t.Unix())
	}
	return seen
}

// change changes what is on disk. edit gets a record of its own; its error calls
// the change off. After any other error nothing was written; with remember this
// creel goes by the change nevertheless.
func (s *state) change(remember bool, how durable.Durability, edit func(*record) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, lockErr := s.lock()
	if lockErr == nil {
		defer unlock()
	}
	v, err := s.read()
	if err = errors.Join(lockErr, err); err != nil && !remember {
		return err
	}
	r := v.copy()
	if editErr := edit(&r); editErr != nil {
		return editErr
	}
	r.Version = stateVersion
	r.drop(time.Now(), s.life)
	var info os.FileInfo
	if err == nil {
		info, err = s.write(&r, how)
	}
	if err != nil {
		if !remember {
			return err
		}
		for _, session := range r.Sessions {
			session.unsaved = session.unsaved || v.bySum[session.sum] == nil
		}
		info = v.file
	} else {
		for _, session := range r.Sessions {
			session.unsaved = false
		}
	}
	// What was written is what is known: no other creel's change is missed, since
	// the lock is held.
	old := *v
	old.record = record{} // unsaved ones are in r
	s.now.Store(newView(r, info, &old))
	return err
}

// copy is a deep enough copy: records are changed by replacing them.
func (v *view) copy() record {
	r := record{Version: v.Version, Codes: append([]codeRecord(nil), v.Codes...), Passkeys: append([]passkeyRecord(nil), v.Passkeys...), Password: v.Password}
	for _, s := range v.Sessions {
		c := *s
		if s.seen != nil && s.seen.Load() > 0 {
			c.LastSeen = time.Unix(s.seen.Load(), 0).UTC()
		}
		r.Sessions = append(r.Sessions, &c)
	}
	for _, t := range v.Tokens {
		c := *t
		if t.seen != nil && t.seen.Load() > 0 {
			c.LastUsed = time.Unix(t.seen.Load(), 0).UTC()
		}
		r.Tokens = append(r.Tokens, &c)
	}
	return r
}

// lock takes the lock file.
func (s *state) lock() (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of sessions and tokens: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockTime)
	defer cancel()
	l := flock.New(filepath.Join(s.dir, lockName), flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, 5*time.Millisecond); err != nil {
		return nil, fmt.Errorf("cannot lock sessions and tokens, which another creel may be changing: %w", err)
	}
	return func() {
		if err := l.Close(); err != nil {
			s.log.Warn("sessions and tokens stay locked until creel ends", "error", err)
		}
	}, nil
}

// write replaces the file. What a person was told (that a session has ended) is to
// outlive a power cut; when one was last used need not. Since the lock is held, what
// another write has left was cut off by a death.
func (s *state) write(r *record, how durable.Durability) (os.FileInfo, error) {
	durable.ClearTemporary(s.path())
	err := durable.Write(s.path(), r, how)
	var unsynced *durable.SyncError
	if errors.As(err, &unsynced) {
		s.log.Warn("a change of sessions and tokens may be lost in a power cut", "error", err)
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot write sessions and tokens: %w", err)
	}
	info, err := os.Stat(s.path())
	if err != nil {
		return nil, fmt.Errorf("cannot look at sessions and tokens: %w", err)
	}
	return info, nil
}

// flush writes when sessions and tokens were last used.
func (s *state) flush() error {
	if !s.dirty.Swap(false) {
		return nil
	}
	err := s.change(false, durable.Renamed, func(*record) error { return nil })
	if err != nil {
		s.dirty.Store(true)
	}
	return err
}

// drop removes what has expired, and what is too much.
func (r *record) drop(now time.Time, life config.AuthSession) {
	r.Sessions = keep(r.Sessions, func(s *sessionRecord) bool { return !s.ended(now, life, s.LastSeen) }, maxSessions, func(a, b *sessionRecord) bool { return a.LastSeen.Before(b.LastSeen) })
	r.Codes = keep(r.Codes, func(c codeRecord) bool { return c.Expires.IsZero() || c.Expires.After(now) }, maxCodes, nil)
	// An expired token is kept for a month, so that one can see why a script fails.
	r.Tokens = keep(r.Tokens, func(t *tokenRecord) bool { return t.Expires.IsZero() || now.Sub(t.Expires) < 30*24*time.Hour }, 0, nil)
}

// ended tells whether a session that was last used at a time is over.
func (s *sessionRecord) ended(now time.Time, life config.AuthSession, seen time.Time) bool {
	return !s.Expires.After(now) || life.Idle > 0 && now.Sub(seen) > life.Idle
}

// keep filters a list, and drops the first by order beyond a number; without an
// order those at the front.
func keep[T any](list []T, good func(T) bool, most int, before func(a, b T) bool) []T {
	kept := list[:0]
	for _, item := range list {
		if good(item) {
			kept = append(kept, item)
		}
	}
	for most > 0 && len(kept) > most {
		first := 0
		if before != nil {
			for i := range kept {
				if before(kept[i], kept[first]) {
					first = i
				}
			}
		}
		kept = append(kept[:first], kept[first+1:]...)
	}
	return kept
}
