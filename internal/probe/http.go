package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"creel/internal/telemetry"
)

// maxHead bounds the head of an answer, in bytes.
const maxHead = 64 << 10

// HTTP holds if a GET of Path is answered with an accepted status.
type HTTP struct {
	Path      string        // request target, such as "/readyz"
	Status    []int         // accepted status codes; empty: any 2xx
	AnyStatus bool          // accept every status: whoever answers is alive
	Timeout   time.Duration // for one look; 0: 2 s

	// Keep, if not nil, gets the beginning of the answer's body, whatever its
	// status, as far as it comes with the head.
	Keep func(body []byte)
}

// maxKept is how much of a body Keep gets, in bytes.
const maxKept = 16 << 10

// Check implements Probe. The request goes out on a connection of its own.
func (p HTTP) Check(ctx context.Context, t Target) error {
	if !strings.HasPrefix(p.Path, "/") || strings.ContainsFunc(p.Path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return &Failure{Verdict: Unchecked, Seen: fmt.Sprintf("cannot ask for %q: it is not a path", p.Path)}
	}
	timeout := orDefault(p.Timeout, defaultTimeout)
	deadline := time.Now().Add(timeout)
	c, err := dial(ctx, t, timeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(deadline); err != nil {
		return &Failure{Verdict: Unchecked, Seen: fmt.Sprintf("cannot bound the check: %v", err), Err: err}
	}
	// The end of ctx makes reads and writes fail at once.
	stop := context.AfterFunc(ctx, func() {
		_ = c.SetDeadline(time.Unix(1, 0)) // fails only on a closed connection
	})
	defer stop()
	err = p.ask(ctx, c, t)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil && isTimeout(err) {
		return &Failure{Verdict: Unanswered, Err: err,
			Seen: fmt.Sprintf("GET %s was not answered within %v", p.shownPath(), timeout)}
	}
	return err
}

// ask sends the request and judges the answer. An error of the network is
// returned as it is if it is a timeout, else as a *Failure.
func (p HTTP) ask(ctx context.Context, c net.Conn, t Target) error {
	request := "GET " + p.Path + " HTTP/1.1\r\n" +
		"Host: " + t.Addr + "\r\n" +
		"User-Agent: creel-probe/1\r\n" +
		"Accept: */*\r\n" +
		"Connection: close\r\n\r\n"
	if _, err := io.WriteString(c, request); err != nil {
		return p.broken(err)
	}
	// What is read stays in the buffer and below the bound, however much comes.
	bounded := &io.LimitedReader{R: c, N: maxHead}
	resp, err := p.response(bufio.NewReader(bounded))
	if err != nil {
		if bounded.N <= 0 {
			err = fmt.Errorf("its head is longer than %d bytes", maxHead)
		}
		return p.broken(err)
	}
	if p.Keep != nil {
		p.Keep(p.beginning(ctx, c, resp))
	}
	if p.accepts(resp.StatusCode) {
		return nil
	}
	seen := fmt.Sprintf("GET %s answered %d", p.shownPath(), resp.StatusCode)
	if to := resp.Header.Get("Location"); to != "" {
		seen += " to " + clip(shown(to))
	}
	if body := p.body(ctx, c, resp); body != "" {
		seen += ": " + body
	}
	return &Failure{Verdict: NotReady, Seen: seen}
}

// response reads the final answer, past interim ones (RFC 9110 section 15.2).
func (p HTTP) response(in *bufio.Reader) (*http.Response, error) {
	for range 5 {
		resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodGet})
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
	return nil, errors.New("only interim answers came")
}

// body is what the answer says, for a message.
func (p HTTP) body(ctx context.Context, c net.Conn, resp *http.Response) string {
	// More than is shown is read so that a secret across the border is whole
	// when it is looked for.
	b := p.beginning(ctx, c, resp)
	return clip(shown(string(b[:min(len(b), 4*maxShown)])))
}

// beginning is the beginning of the body, as far as it is at hand: a body that
// trickles must not keep the next check waiting.
func (p HTTP) beginning(ctx context.Context, c net.Conn, resp *http.Response) []byte {
	err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if err != nil || ctx.Err() != nil { // looked at after the deadline that ctx's end sets was replaced
		return nil
	}
	// An error only makes it shorter.
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxKept))
	return b
}

// broken says what was wrong with the connection or with the answer.
func (p HTTP) broken(err error) error {
	if isTimeout(err) {
		return err
	}
	seen := fmt.Sprintf("GET %s was answered with something that is not HTTP: %s", p.shownPath(), clip(shown(err.Error())))
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		seen = fmt.Sprintf("GET %s: the connection was closed without a whole answer", p.shownPath())
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		seen = fmt.Sprintf("GET %s: the connection was broken off without an answer", p.shownPath())
	}
	return &Failure{Verdict: NotReady, Seen: seen, Err: err}
}

func (p HTTP) accepts(status int) bool {
	switch {
	case p.AnyStatus:
		return true
	case len(p.Status) == 0:
		return status >= 200 && status < 300
	default:
		return slices.Contains(p.Status, status)
	}
}

func (p HTTP) shownPath() string { return telemetry.Redact(p.Path) }

// clip cuts text to maxShown bytes, on the border of a character.
func clip(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return strings.ToValidUTF8(text[:maxShown], "") + "…"
}
