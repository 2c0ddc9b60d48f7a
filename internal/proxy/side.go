package proxy

import (
	"crypto/rand"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// side is one end of a tunnel.
type side struct {
	conn      net.Conn
	masks     bool // frames towards this side are masked: creel is its client
	writeIdle time.Duration
	heard     atomic.Int64 // when bytes last came from this side: see hear
	hurried   atomic.Bool  // a write may take lingerFor at most
	pinged    time.Time    // first ping that has no answer yet; only for tunnel.ping

	mu     sync.Mutex
	frames frames // those towards this side
	over   bool   // creel has sent a close frame, or a write has failed: nothing more may follow
}

// begin is where the time of what was heard is counted from. A Unix time would
// follow the wall clock when that is set, and a side that has just answered
// would be taken for silent.
var begin = time.Now()

// hear takes note of bytes from this side.
func (s *side) hear() { s.heard.Store(int64(time.Since(begin))) }

// lastHeard is when that was done last.
func (s *side) lastHeard() time.Time { return begin.Add(time.Duration(s.heard.Load())) }

// errOverSide says that a side takes nothing more.
var errOverSide = errors.New("this side has been closed")

// relay sends on what came from the other side.
func (s *side) relay(b []byte, webSocket bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over:
		return errOverSide
	case webSocket:
		return s.frames.pass(b, s.write)
	}
	return s.write(b)
}

// write writes within the time that a peer has to take it. After a failure the
// frame that is out in part stays the last. s.mu is held.
func (s *side) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	err := s.conn.SetWriteDeadline(time.Now().Add(s.writeIdle))
	if err == nil && s.hurried.Load() { // looked at afterwards: the shorter deadline must win
		err = s.conn.SetWriteDeadline(time.Now().Add(lingerFor))
	}
	if err == nil {
		_, err = s.conn.Write(b)
	}
	if err != nil {
		s.over = true
	}
	return err
}

// ping sends a ping, unless something is being written or is out in part.
func (s *side) ping() (sent bool) {
	if !s.mu.TryLock() {
		return false
	}
	defer s.mu.Unlock()
	if s.over || s.frames.closed || !s.frames.between() {
		return false
	}
	return s.write(appendFrame(nil, 0x80|opPing, s.key(), []byte(pingPayload))) == nil
}

// sayClose sends a close frame of creel's own, unless the other side has sent
// one or a frame is half out. It tells whether the peer has got one from anybody.
func (s *side) sayClose(code uint16, reason string) bool {
	s.take()
	defer s.mu.Unlock()
	return s.close(code, reason)
}

// take locks s.mu for the last word. A write that is stuck has had its time.
func (s *side) take() {
	s.hurried.Store(true)
	_ = s.conn.SetWriteDeadline(time.Now().Add(lingerFor))
	s.mu.Lock()
}

// close is sayClose, with s.mu taken.
func (s *side) close(code uint16, reason string) bool {
	if s.frames.closed {
		return !s.over
	}
	if s.over || !s.frames.between() {
		return false
	}
	err := s.write(appendFrame(nil, 0x80|opClose, s.key(), closePayload(code, reason)))
	s.over = true
	return err == nil
}

// told tells whether a close frame of the other side's has been sent on.
func (s *side) told() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frames.closed
}

// key is a mask for a frame to this side, nil if there is to be none. It is
// drawn anew for each frame, as RFC 6455 §5.3 wants it.
func (s *side) key() []byte {
	if !s.masks {
		return nil
	}
	key := make([]byte, 4)
	_, _ = rand.Read(key) // crypto/rand does not fail
	return key
}

// closeWrite ends the direction towards this side. The other one goes on.
func (s *side) closeWrite() error {
	c, ok := s.conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return c.CloseWrite()
}

// linger lets the peer read a close frame to its end before the connection goes
// away: what it still sends is read away, since unread bytes would turn the end
// into a reset.
func (s *side) linger() {
	if s.closeWrite() != nil || s.conn.SetReadDeadline(time.Now().Add(lingerFor)) != nil {
		return
	}
	b := make([]byte, 512)
	for {
		if _, err := s.conn.Read(b); err != nil {
			return
		}
	}
}
