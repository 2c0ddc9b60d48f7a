package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"

	"creel/internal/problem"
)

// Request is one request of a load, and what came of it.
type Request struct {
	ID          string
	Kind        string // get, put, post, keyed, upload, socket
	Sent, Ended time.Time
	Err         error
	Status      int
	Code        string // of a problem document
	Detail      string
}

// Replayable tells whether the request may be sent again, so that it must not
// fail.
func (r *Request) Replayable() bool { return r.Kind != "post" }

// OK tells whether the request was answered as it should be.
func (r *Request) OK() bool { return r.Err == nil && (r.Status == 200 || r.Status == 101) }

func (r *Request) String() string {
	return fmt.Sprintf("%s %s: status %d %s %s %v", r.Kind, r.ID, r.Status, r.Code, r.Detail, r.Err)
}

var kinds = []string{"get", "put", "post", "keyed", "upload", "socket"}

const uploadSize = 256 << 10

// Load sends requests at a constant rate, whatever becomes of the earlier ones
// (an open loop: a stall of creel's shows as failures or waits, never as fewer
// requests), until ctx ends, and returns them all once each has its outcome. Their
// ids begin with prefix.
func Load(ctx context.Context, addr, prefix string, perSecond int, dice *rand.Rand) []*Request {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: Patience}
	defer client.CloseIdleConnections()
	var all []*Request
	var under sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			under.Wait()
			return all
		case <-tick.C:
		}
		r := &Request{ID: fmt.Sprintf("%s%d", prefix, n), Kind: kinds[dice.IntN(len(kinds))]}
		all = append(all, r)
		under.Go(func() { r.Send(addr, client) })
	}
}

// Send sends the request and waits for its outcome.
func (r *Request) Send(addr string, client *http.Client) {
	r.Sent = time.Now()
	defer func() { r.Ended = time.Now() }()
	if r.Kind == "socket" {
		r.openSocket(addr, client)
		return
	}
	method, path, body := http.MethodGet, "/item?id="+r.ID, []byte(nil)
	switch r.Kind {
	case "put":
		method, body = http.MethodPut, []byte("put "+r.ID)
	case "post", "keyed":
		method, body = http.MethodPost, []byte("post "+r.ID)
	case "upload":
		method, body = http.MethodPut, bytes.Repeat([]byte("u"), uploadSize)
	}
	req, err := http.NewRequest(method, "http://"+addr+path, bytes.NewReader(body))
	if err != nil {
		r.Err = err
		return
	}
	// The client must not send anything again by itself, as Go's does.
	req.GetBody = nil
	if r.Kind == "keyed" {
		req.Header.Set("Idempotency-Key", "key-"+r.ID)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.Err = err
		return
	}
	defer resp.Body.Close()
	r.Read(resp)
}

// Read takes an answer of /item, or a problem document.
func (r *Request) Read(resp *http.Response) {
	r.Status = resp.StatusCode
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Err = err
		return
	}
	if resp.StatusCode == http.StatusOK {
		var item struct{ ID string }
		if err := json.Unmarshal(b, &item); err != nil || item.ID != r.ID {
			r.Err = fmt.Errorf("the answer is another request's, or none: %s (%v)", b, err)
		}
		return
	}
	if resp.Header.Get("Content-Type") != problem.ContentType {
		r.Err = fmt.Errorf("status %d without a problem document: %s", resp.StatusCode, b)
		return
	}
	var d struct{ Code, Detail string }
	if err := json.Unmarshal(b, &d); err != nil {
		r.Err = fmt.Errorf("a problem document that cannot be read: %w", err)
		return
	}
	r.Code, r.Detail = d.Code, d.Detail
}

// openSocket makes a WebSocket handshake. That is what must not fail; the socket
// itself may break at any time.
func (r *Request) openSocket(addr string, client *http.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: client.Transport}})
	if resp != nil {
		r.Status = resp.StatusCode
	}
	if err != nil && resp != nil && resp.Body != nil { // refused, with a problem document
		r.Read(resp)
		return
	}
	if err != nil {
		r.Err = err
		return
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(r.ID)); err != nil {
		return
	}
	if _, echo, err := conn.Read(ctx); err == nil && string(echo) != r.ID {
		r.Err = fmt.Errorf("the echo is another's: %q", echo)
	}
}
