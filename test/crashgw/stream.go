package crashgw

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// serveSSE sends events 1 to n, or those after Last-Event-ID.
func (c *call) serveSSE() {
	n := c.params.count("n", 3, 1<<40)
	every := c.params.duration("every", 0)
	last := int64(0)
	if v := c.r.Header.Get("Last-Event-ID"); v != "" {
		id, err := strconv.ParseInt(v, 10, 64)
		if err != nil || id < 0 {
			c.params.fail("cannot go on after event %q: ids are numbers", v)
		}
		last = min(id, n)
	}
	if c.refused() {
		return
	}
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.Header().Set("Cache-Control", "no-store")
	if !c.flush() {
		return
	}
	for i := last; ; i++ {
		c.step(i-last, n-last)
		if i == n || !c.pause(every) {
			return
		}
		if _, err := fmt.Fprintf(c.w, "id: %d\ndata: {\"n\":%d,\"pid\":%d}\n\n", i+1, i+1, os.Getpid()); err != nil {
			return
		}
		if !c.flush() {
			return
		}
	}
}

// serveStream sends n chunks, flushed one by one, and trailers that let a client
// check that it got all of them.
func (c *call) serveStream() {
	n := c.params.count("n", 3, 1<<40)
	size := c.params.count("bytes", 1024, 1<<30)
	every := c.params.duration("every", 0)
	if c.refused() {
		return
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Trailer", "X-Chunks, X-Sha256")
	if !c.flush() {
		return
	}
	hash := sha256.New()
	body := io.TeeReader(PatternReader(n*size), hash)
	for i := int64(0); ; i++ {
		c.step(i, n)
		if i == n {
			break
		}
		if !c.pause(every) || !c.copyFrom(body, size) || !c.flush() {
			return
		}
	}
	c.w.Header().Set("X-Chunks", strconv.FormatInt(n, 10))
	c.w.Header().Set("X-Sha256", hex.EncodeToString(hash.Sum(nil)))
}

func (c *call) serveTrailers() {
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.Header().Set("Trailer", "X-Announced")
	if _, err := io.WriteString(c.w, "body\n"); err != nil {
		return
	}
	c.w.Header().Set("X-Announced", "1")
	c.w.Header().Set(http.TrailerPrefix+"X-Unannounced", "2")
}

// serveEarlyHints sends n informational answers (RFC 8297) before the final one.
func (c *call) serveEarlyHints() {
	n := c.params.count("n", 1, 1000)
	every := c.params.duration("every", 0)
	if c.refused() {
		return
	}
	for i := int64(0); ; i++ {
		c.step(i, n)
		if i == n {
			break
		}
		if !c.pause(every) {
			return
		}
		c.w.Header().Set("Link", fmt.Sprintf("</style-%d.css>; rel=preload; as=style", i+1))
		c.w.WriteHeader(http.StatusEarlyHints)
	}
	c.w.Header().Del("Link")
	c.reply(http.StatusOK, c.health(true))
}

// copyFrom sends up to n bytes of r. It is false if the client has left.
func (c *call) copyFrom(r io.Reader, n int64) bool {
	_, err := io.Copy(c.w, io.LimitReader(r, n))
	return err == nil
}

// rateReader reads from r no faster than so many bytes per second.
type rateReader struct {
	r     io.Reader
	rate  int64
	start time.Time
	read  int64
	pause func(time.Duration) bool // false: give up
}

func (s *rateReader) Read(b []byte) (int, error) {
	due := time.Duration(float64(s.read) / float64(s.rate) * float64(time.Second))
	if !s.pause(due - time.Since(s.start)) {
		return 0, io.ErrUnexpectedEOF
	}
	// At most a hundredth of a second's worth at once.
	n, err := s.r.Read(b[:min(int64(len(b)), max(s.rate/100, 1))])
	s.read += int64(n)
	return n, err
}
