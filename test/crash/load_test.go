package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"creel/internal/problem"
)

// request is one request of a load, and what came of it.
type request struct {
	id     string
	kind   string // get, put, post, keyed, upload, socket
	err    error
	status int
	code   string // of a problem document
	detail string
}

// replayable tells whether the request may be sent again, so that it must not
// fail.
func (r *request) replayable() bool { return r.kind != "post" }

func (r *request) ok() bool { return r.err == nil && (r.status == 200 || r.status == 101) }

func (r *request) String() string {
	return fmt.Sprintf("%s %s: status %d %s %s %v", r.kind, r.id, r.status, r.code, r.detail, r.err)
}

var kinds = []string{"get", "put", "post", "keyed", "upload", "socket"}

const uploadSize = 256 << 10

// load sends requests at a constant rate, whatever becomes of the earlier ones
// (an open loop: a stall of creel's shows as failures or waits, never as fewer
// requests), until ctx ends, and returns them all once each has its outcome.
func load(ctx context.Context, c *creel, perSecond int, dice *rand.Rand) []*request {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}, Timeout: patience}
	defer client.CloseIdleConnections()
	var all []*request
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
		r := &request{id: fmt.Sprintf("r%d", n), kind: kinds[dice.IntN(len(kinds))]}
		all = append(all, r)
		under.Go(func() { r.send(c, client) })
	}
}

func (r *request) send(c *creel, client *http.Client) {
	if r.kind == "socket" {
		r.openSocket(c, client)
		return
	}
	method, path, body := http.MethodGet, "/item?id="+r.id, []byte(nil)
	switch r.kind {
	case "put":
		method, body = http.MethodPut, []byte("put "+r.id)
	case "post", "keyed":
		method, body = http.MethodPost, []byte("post "+r.id)
	case "upload":
		method, body = http.MethodPut, bytes.Repeat([]byte("u"), uploadSize)
	}
	req, err := http.NewRequest(method, c.url(path), bytes.NewReader(body))
	if err != nil {
		r.err = err
		return
	}
	// The client must not send anything again by itself, as Go's does.
	req.GetBody = nil
	if r.kind == "keyed" {
		req.Header.Set("Idempotency-Key", "key-"+r.id)
	}
	resp, err := client.Do(req)
	if err != nil {
		r.err = err
		return
	}
	defer resp.Body.Close()
	r.read(resp)
}

func (r *request) read(resp *http.Response) {
	r.status = resp.StatusCode
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.err = err
		return
	}
	if resp.StatusCode == http.StatusOK {
		var item struct{ ID string }
		if err := json.Unmarshal(b, &item); err != nil || item.ID != r.id {
			r.err = fmt.Errorf("the answer is another request's, or none: %s (%v)", b, err)
		}
		return
	}
	if resp.Header.Get("Content-Type") != problem.ContentType {
		r.err = fmt.Errorf("status %d without a problem document: %s", resp.StatusCode, b)
		return
	}
	var d struct{ Code, Detail string }
	if err := json.Unmarshal(b, &d); err != nil {
		r.err = fmt.Errorf("a problem document that cannot be read: %w", err)
		return
	}
	r.code, r.detail = d.Code, d.Detail
}

// openSocket makes a WebSocket handshake. That is what must not fail; the socket
// itself may break at any time.
func (r *request) openSocket(c *creel, client *http.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, resp, err := websocket.Dial(ctx, "ws://"+c.addr+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: client.Transport}})
	if resp != nil {
		r.status = resp.StatusCode
	}
	if err != nil {
		r.err = err
		return
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(r.id)); err != nil {
		return
	}
	if _, echo, err := conn.Read(ctx); err == nil && string(echo) != r.id {
		r.err = fmt.Errorf("the echo is another's: %q", echo)
	}
}

// TestKillsUnderLoad: twenty kills at random moments, under an open loop of
// requests of all kinds. No replayable request fails, no POST is executed twice,
// every failure says truthfully what happened, and each kill causes exactly one
// restart.
func TestKillsUnderLoad(t *testing.T) {
	const kills = 20
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	c := start(t, crashgwOptions())
	first := c.waitFor("ready", ready).Generation
	ctx, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	done := make(chan []*request, 1)
	loadDice := rand.New(rand.NewPCG(seed, 1))
	go func() { done <- load(ctx, c, 250, loadDice) }()
	for range kills {
		pause(t, time.Duration(dice.IntN(400))*time.Millisecond)
		before := c.crash()
		c.waitFor("the next generation", func(st statusT) bool { return st.Generation > before.Generation })
	}
	c.waitFor("ready after the last kill", ready)
	pause(t, 300*time.Millisecond)
	stopLoad()
	all := <-done
	st := c.waitFor("ready at the end", ready)
	if got := st.Generation - first; got != kills {
		t.Errorf("%d kills caused %d restarts", kills, got)
	}
	if st.Restarts != kills {
		t.Errorf("creel counts %d restarts after %d kills", st.Restarts, kills)
	}
	judge(t, c, all)
}

// judge compares what clients saw with what was executed.
func judge(t *testing.T, c *creel, all []*request) {
	t.Helper()
	executed := c.readLedger().Executions()
	counts := map[string]int{}
	for _, r := range all {
		counts[r.kind]++
		n := executed[r.id]
		switch {
		case r.ok():
			if r.kind != "socket" && n == 0 {
				t.Errorf("answered, but not executed: %v", r)
			}
		case r.replayable():
			t.Errorf("a replayable request failed: %v", r)
		case r.err != nil:
			t.Errorf("a failure without a problem document: %v", r)
		case r.code != "gateway_crashed":
			t.Errorf("a failure with a code that is not true: %v", r)
		default:
			counts["post failed"]++
		}
		if (r.kind == "post" || r.kind == "keyed") && n > 1 {
			t.Errorf("executed %d times: %v", n, r)
		}
	}
	t.Logf("%d requests: %v", len(all), counts)
}

// TestOneRestartForManyRequests: 500 requests are under way when the gateway
// crashes. All are answered, after one restart.
func TestOneRestartForManyRequests(t *testing.T) {
	const requests = 500
	c := start(t, crashgwOptions())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: requests}, Timeout: patience}
	defer client.CloseIdleConnections()
	var under sync.WaitGroup
	failures := make(chan error, requests)
	for n := range requests {
		under.Go(func() {
			// Long enough for all of them to be under way at once.
			resp, err := client.Get(c.url(fmt.Sprintf("/echo?delay=6s&n=%d", n)))
			if err != nil {
				failures <- err
				return
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
				failures <- fmt.Errorf("status %d, %w", resp.StatusCode, errors.Join(err))
			}
		})
	}
	poll(t, "all requests to be under way", func() bool { return c.metric("creel_inflight_requests") == requests }, func() string { return c.output.String() })
	before := c.crash()
	under.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if st := c.waitFor("ready", ready); st.Generation != before.Generation+1 {
		t.Errorf("one crash led from generation %d to %d", before.Generation, st.Generation)
	}
}

// TestPoison: a GET that ends every instance it reaches is found out after
// three, and innocent requests that were beside it each time are answered.
func TestPoison(t *testing.T) {
	c := start(t, crashgwOptions())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience}
	defer client.CloseIdleConnections()
	first := c.waitFor("ready", ready).Generation
	var under sync.WaitGroup
	innocent := make([]*request, 40)
	for n := range innocent {
		innocent[n] = &request{id: fmt.Sprintf("innocent%d", n), kind: "get"}
		under.Go(func() {
			resp, err := client.Get(c.url("/item?delay=300ms&id=" + innocent[n].id))
			if err != nil {
				innocent[n].err = err
				return
			}
			defer resp.Body.Close()
			innocent[n].read(resp)
		})
	}
	poll(t, "the innocent requests to be under way", func() bool { return c.metric("creel_inflight_requests") == float64(len(innocent)) }, c.output.String)
	poison := &request{id: "poison", kind: "get"}
	resp, err := client.Get(c.url("/item?id=poison&die=before-headers"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	poison.read(resp)
	if poison.status != http.StatusBadGateway || poison.code != "poison_request" {
		t.Errorf("the poison got %v", poison)
	}
	under.Wait()
	for _, r := range innocent {
		if !r.ok() {
			t.Errorf("an innocent request failed: %v", r)
		}
	}
	deaths := 0
	for _, e := range c.readLedger().Entries {
		if e.ID == "poison" && e.Kind == executedKind {
			deaths++
		}
	}
	if deaths != 3 {
		t.Errorf("the poison reached %d instances", deaths)
	}
	if st := c.waitFor("ready", ready); st.Generation != first+3 {
		t.Errorf("from generation %d to %d", first, st.Generation)
	}
	if !strings.Contains(c.events(), `"kind":"poisoned"`) {
		t.Error("the journal does not name it")
	}
}
