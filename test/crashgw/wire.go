package crashgw

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// lingerFor bounds how long a connection stays open for a client that is to
// close it.
const lingerFor = 5 * time.Second

// badAnswers are the kinds of /bad and the bytes that they send.
var badAnswers = map[string]func(*params) string{
	"status-line":     text("HTTP/1.1 OK fine\r\nContent-Length: 2\r\n\r\nok"),
	"garbage":         text("\x16\x03\x01\x00\xff\x00 this is not HTTP \xfe\xfd\r\n\r\n"),
	"empty":           text(""),
	"huge-headers":    hugeHeaders,
	"endless-header":  endlessHeader,
	"double-length":   text(ok + "Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
	"bad-chunk":       text(ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nxyz\r\nno\r\n0\r\n\r\n"),
	"negative-length": text(ok + "Content-Length: -1\r\n\r\nok"),
	"lf-in-header":    text("HTTP/1.1 200 OK\nX-One: 1\nContent-Length: 2\n\nok"),
	"nul-in-header":   text(ok + "X-Nul: a\x00b\r\nContent-Length: 2\r\n\r\nok"),
	"space-in-name":   text(ok + "X-Space : 1\r\nContent-Length: 2\r\n\r\nok"),
	"extra-bytes":     text(ok + "Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmug!"),

	"length-and-chunked": text(ok + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
	"header-injection":   headerInjection,
}

const ok = "HTTP/1.1 200 OK\r\n"

func text(s string) func(*params) string {
	return func(*params) string { return s }
}

func hugeHeaders(p *params) string {
	n := int(p.count("bytes", 2<<20, 1<<30))
	line := "X-Filler: " + strings.Repeat("a", 1000) + "\r\n"
	return ok + strings.Repeat(line, n/len(line)+1) + "Content-Length: 2\r\n\r\nok"
}

func endlessHeader(p *params) string {
	n := int(p.count("bytes", 2<<20, 1<<30))
	return ok + "X-Filler: " + strings.Repeat("a", n) + "\r\nContent-Length: 2\r\n\r\nok"
}

func headerInjection(p *params) string {
	value := p.text("value")
	if value == "" {
		value = "a\r\nSet-Cookie: injected=1"
	}
	return ok + "X-Reflected: " + value + "\r\nContent-Length: 2\r\n\r\nok"
}

// serveBad sends exactly the bytes of a kind.
func (c *call) serveBad() {
	kind := c.params.text("kind")
	bytes := ""
	if make, known := badAnswers[kind]; known {
		bytes = make(&c.params)
	} else {
		c.params.fail("cannot send kind=%q: choose from %s", kind, strings.Join(badKinds(), ", "))
	}
	if c.refused() || c.drain() != nil {
		return
	}
	nc, _, taken := c.takeOver()
	if !taken {
		return
	}
	defer closeConn(nc)
	if _, err := io.WriteString(nc, bytes); err != nil || kind != "extra-bytes" {
		return
	}
	// The client's next move is the point: does it take the extra bytes for the
	// answer to its next request?
	if nc.SetReadDeadline(time.Now().Add(lingerFor)) == nil {
		_, _ = io.Copy(io.Discard, nc) // ends with the client or the deadline
	}
}

func badKinds() []string {
	var kinds []string
	for k := range badAnswers {
		kinds = append(kinds, k)
	}
	slices.Sort(kinds)
	return kinds
}

// serveEOFBody sends a body whose end is the end of the connection (RFC 9112
// section 6.3, last rule): its client cannot tell a whole one from a part.
func (c *call) serveEOFBody() {
	n := c.params.count("bytes", 1024, 1<<40)
	version := c.params.text("version")
	if version == "" {
		version = "1.1"
	}
	if version != "1.0" && version != "1.1" {
		c.params.fail("cannot answer as HTTP/%s: use 1.0 or 1.1", version)
	}
	if c.refused() {
		return
	}
	nc, _, taken := c.takeOver()
	if !taken {
		return
	}
	defer closeConn(nc)
	head := fmt.Sprintf("HTTP/%s 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n", version)
	if _, err := io.WriteString(nc, head); err != nil {
		return
	}
	body := PatternReader(n)
	c.step(0, n)
	if _, err := io.CopyN(nc, body, n/2); err != nil {
		return
	}
	if n > 1 {
		c.step(n/2, n)
	}
	_, _ = io.Copy(nc, body) // the client may leave
}
