package crashgw

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Upload is the answer of /upload.
type Upload struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal
	PID    int    `json:"pid"`
}

// serveUpload reads the body. net/http sends 100 Continue, if the client
// expects it, at the first read.
func (c *call) serveUpload() {
	rate := c.params.count("rate", 0, 1<<40)
	if c.refused() {
		return
	}
	var body io.Reader = c.r.Body
	if rate > 0 {
		// The client's departure shows in Read; the context would say so only
		// after the body's end.
		body = &rateReader{r: body, rate: rate, start: time.Now(), pause: c.pause}
	}
	n, sum, err := digest(body)
	if err != nil {
		c.plan = plan{}
		c.reply(http.StatusBadRequest, failure{fmt.Sprintf("cannot read the body: %v", err)})
		return
	}
	c.reply(http.StatusOK, Upload{Bytes: n, SHA256: sum, PID: os.Getpid()})
}

func (c *call) serveDownload() {
	n := c.params.count("bytes", 1024, 1<<40)
	if c.refused() {
		return
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	c.w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	if c.r.Method != http.MethodHead {
		c.copyFrom(PatternReader(n), n)
	}
}

// serveEarlyAnswer refuses the request before it has read the body, as a server
// does that has a limit. By default it lingers as RFC 9112 section 9.6 asks, so
// that the client gets the answer.
func (c *call) serveEarlyAnswer() {
	reset := c.params.flag("rst")
	if c.refused() {
		return
	}
	const text = "the body is too large\n"
	head := fmt.Sprintf("HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\n"+
		"Content-Length: %d\r\nConnection: close\r\n\r\n", len(text))
	nc, _, ok := c.takeOver()
	if !ok {
		return
	}
	defer closeConn(nc)
	if _, err := io.WriteString(nc, head+text); err != nil || reset {
		return
	}
	if tcp, ok := nc.(*net.TCPConn); !ok || tcp.CloseWrite() != nil {
		return
	}
	if nc.SetReadDeadline(time.Now().Add(time.Second)) == nil {
		_, _ = io.Copy(io.Discard, nc) // ends with the client or the deadline
	}
}

// patternPeriod is prime, so that the pattern meets no block size.
const patternPeriod = 251

// patternBlock is a whole number of periods.
var patternBlock = func() []byte {
	b := make([]byte, patternPeriod*256)
	for i := range b {
		b[i] = byte(i % patternPeriod)
	}
	return b
}()

// PatternReader gives the n bytes that /download?bytes=n sends: byte i is
// i mod 251.
func PatternReader(n int64) io.Reader { return &pattern{left: n} }

type pattern struct {
	at   int // in the period
	left int64
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.left == 0 {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), p.left)]
	n := copy(b, patternBlock[p.at:])
	p.at = (p.at + n) % patternPeriod
	p.left -= int64(n)
	return n, nil
}
