package crashgw

import (
	"fmt"
	"net/http"
	"os"
	"strings"
)

// Echo is the answer of /echo: the request as it arrived.
type Echo struct {
	Method     string      `json:"method"`
	URI        string      `json:"uri"`  // path and query as received
	Path       string      `json:"path"` // decoded
	Proto      string      `json:"proto"`
	Host       string      `json:"host"`
	Remote     string      `json:"remote"`  // the peer's address; tells connections apart
	Headers    http.Header `json:"headers"` // without Host; framing headers are put back
	BodyBytes  int64       `json:"body_bytes"`
	BodySHA256 string      `json:"body_sha256"`
	Trailers   http.Header `json:"trailers,omitempty"`
	PID        int         `json:"pid"`
	Generation string      `json:"generation,omitempty"` // $CREEL_GENERATION
}

func (c *call) serveEcho() {
	r := c.r
	n, sum, err := digest(r.Body)
	if err != nil {
		c.reply(http.StatusBadRequest, failure{fmt.Sprintf("cannot read the body: %v", err)})
		return
	}
	headers := r.Header.Clone()
	if len(r.TransferEncoding) > 0 { // net/http takes it out
		headers["Transfer-Encoding"] = r.TransferEncoding
	}
	c.reply(http.StatusOK, Echo{
		Method: r.Method, URI: r.RequestURI, Path: r.URL.Path, Proto: r.Proto,
		Host: r.Host, Remote: r.RemoteAddr, Headers: headers,
		BodyBytes: n, BodySHA256: sum, Trailers: r.Trailer,
		PID: os.Getpid(), Generation: c.generation,
	})
}

func (c *call) serveEnv() {
	env := make(map[string]string)
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	c.reply(http.StatusOK, env)
}

func (c *call) serveLog() {
	text, to := c.params.text("text"), c.params.text("to")
	out := os.Stdout
	switch to {
	case "", "stdout":
	case "stderr":
		out = os.Stderr
	default:
		c.params.fail("cannot log to=%q: choose stdout or stderr", to)
	}
	if c.refused() {
		return
	}
	if _, err := fmt.Fprintln(out, text); err != nil {
		c.reply(http.StatusInternalServerError, failure{fmt.Sprintf("cannot write to the log: %v", err)})
		return
	}
	c.reply(http.StatusOK, struct{}{})
}

func (c *call) servePage() {
	const page = "<!doctype html>\n<html lang=\"en\"><head><title>crashgw</title></head>" +
		"<body><h1>crashgw</h1><p id=\"pid\">%d</p></body></html>\n"
	c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	// A client that has gone away is its own affair.
	_, _ = fmt.Fprintf(c.w, page, os.Getpid())
}
