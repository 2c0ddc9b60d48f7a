package crashgw

import (
	"fmt"
	"net/http"
)

func (c *call) serveStatus() {
	code := c.params.count("code", 200, 999)
	if code < 200 {
		c.params.fail("cannot answer with status %d: use 200 to 999 (1xx: /1xx)", code)
	}
	if c.refused() {
		return
	}
	if code == http.StatusNoContent || code == http.StatusNotModified {
		c.w.WriteHeader(int(code)) // these have no body (RFC 9110 section 6.4.1)
		return
	}
	c.reply(int(code), struct {
		Status int64 `json:"status"`
	}{code})
}

func (c *call) serveSetCookie() {
	n := c.params.count("n", 3, 1000)
	if c.refused() {
		return
	}
	for i := range n {
		c.w.Header().Add("Set-Cookie", fmt.Sprintf("crashgw%d=value, with comma %d; Path=/; HttpOnly", i, i))
	}
	c.reply(http.StatusOK, struct{}{})
}

// serveHopHeaders answers with headers that belong to this connection alone
// (RFC 9110 section 7.6.1) and one that does not.
func (c *call) serveHopHeaders() {
	h := c.w.Header()
	h.Set("Connection", "X-Foo")
	h.Set("X-Foo", "hop")
	h.Set("Keep-Alive", "timeout=5")
	h.Set("Proxy-Authenticate", "Basic realm=\"crashgw\"")
	h.Set("Proxy-Connection", "keep-alive")
	h.Set("Te", "trailers")
	h.Set("Upgrade", "h2c")
	h.Set("X-End", "to-end")
	c.reply(http.StatusOK, struct{}{})
}
