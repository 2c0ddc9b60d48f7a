package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"creel/internal/problem"
	"creel/test/crashgw"
	"creel/test/harness"
)

// together runs tasks at the same time and waits for all of them.
func together(tasks []func()) {
	var all sync.WaitGroup
	for _, t := range tasks {
		all.Go(t)
	}
	all.Wait()
}

// useStore does one operation after the other on a list until ctx ends.
func (w *world) useStore(ctx context.Context, client int, list string, dice *rand.Rand) []operation {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := &storeClient{http: &http.Client{Transport: transport, Timeout: harness.Patience}, url: w.URL("/store?list=" + list), client: client, list: list}
	var all []operation
	for n := 0; ctx.Err() == nil; n++ {
		value := fmt.Sprintf("c%dn%d", client, n)
		var o operation
		switch dice.IntN(6) {
		case 0, 1:
			o = c.do("read", http.MethodGet, "", "")
		case 2:
			o = c.do("put", http.MethodPut, value, "")
		case 3:
			o = c.do("add", http.MethodPost, value, list+value)
		default:
			o = c.do("add", http.MethodPost, value, "")
		}
		all = append(all, o)
		pause := time.Duration(dice.IntN(30)) * time.Millisecond
		if o.Result == notApplied || o.Result == unknown {
			pause += 20 * time.Millisecond
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return all
}

// storeClient is one client of the store.
type storeClient struct {
	http   *http.Client
	url    string
	client int
	list   string
}

// do does one operation. It sends it once: Go's client repeats nothing that has
// a body and no GetBody.
func (c *storeClient) do(kind, method, value, key string) operation {
	o := operation{Client: c.client, List: c.list, Kind: kind, Value: value, Result: unknown}
	var body io.Reader
	if method != http.MethodGet {
		body = strings.NewReader(value)
	}
	req, err := http.NewRequest(method, c.url, body)
	if err != nil {
		panic(err) // a constant address
	}
	req.GetBody = nil
	if key != "" {
		o.Keyed = true
		req.Header.Set("Idempotency-Key", key)
	}
	o.Call = now()
	resp, err := c.http.Do(req)
	if err != nil {
		o.Why = err.Error()
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			o.Result = notApplied
		}
		o.Return = now()
		return o
	}
	defer resp.Body.Close()
	o.read(resp)
	o.Return = now()
	return o
}

// read takes an answer of the store, or a problem document.
func (o *operation) read(resp *http.Response) {
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		o.Why = err.Error()
		return
	}
	if resp.StatusCode == http.StatusOK {
		var s crashgw.Stored
		if err := json.Unmarshal(b, &s); err != nil || s.List != o.List {
			o.Why = fmt.Sprintf("the answer is another request's, or none: %s (%v)", b, err)
			return
		}
		o.Result, o.Values = answered, s.Values
		if s.Duplicate {
			o.Result = duplicate
		}
		return
	}
	var d struct {
		Code, Detail string
		Sent         bool
	}
	if resp.Header.Get("Content-Type") != problem.ContentType || json.Unmarshal(b, &d) != nil {
		o.Why = fmt.Sprintf("status %d without a problem document: %s", resp.StatusCode, b)
		return
	}
	o.Code, o.Why = d.Code, d.Detail
	if resp.StatusCode == http.StatusServiceUnavailable && !d.Sent {
		o.Result = notApplied // so it is promised
	}
}

// broken is a stream or a socket that came to an end.
type broken struct {
	what     string
	from, to int64
	code     websocket.StatusCode // of a socket; -1: none
	err      error
}

// follow reads event streams, one after the other. None of them ends by itself.
func (w *world) follow(ctx context.Context) []broken {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var all []broken
	for ctx.Err() == nil {
		b := broken{what: "event stream", from: now(), code: -1}
		b.err = follow(ctx, client, w.URL("/sse?n=1000000&every=20ms"))
		b.to = now()
		if ctx.Err() != nil {
			break
		}
		all = append(all, b)
		rest(ctx)
	}
	return all
}

var errCleanEnd = errors.New("it ended as if it were whole")

func follow(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, err := io.ReadAll(resp.Body)
		return fmt.Errorf("status %d: %s %w", resp.StatusCode, bytes.TrimSpace(b), err)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errCleanEnd
}

// talk keeps a WebSocket and has it echo.
func (w *world) talk(ctx context.Context) []broken {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	var all []broken
	for n := 0; ctx.Err() == nil; n++ {
		b := broken{what: "WebSocket", from: now()}
		b.err = talk(ctx, client, "ws://"+w.Addr+"/ws")
		b.to, b.code = now(), websocket.CloseStatus(b.err)
		if ctx.Err() != nil {
			break
		}
		all = append(all, b)
		rest(ctx)
	}
	return all
}

func talk(ctx context.Context, client *http.Client, url string) error {
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	for n := 0; ; n++ {
		text := fmt.Sprintf("message %d", n)
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			// What the other side has said before tells more.
			if _, _, readErr := conn.Read(ctx); readErr != nil {
				return readErr
			}
			return err
		}
		_, echo, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if string(echo) != text {
			return fmt.Errorf("%q came back as %q", text, echo)
		}
		rest(ctx)
	}
}

// rest is a pause between two messages or two tries.
func rest(ctx context.Context) {
	select {
	case <-time.After(15 * time.Millisecond):
	case <-ctx.Done():
	}
}
