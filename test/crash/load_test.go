package crash

import (
	"context"
	"creel/internal/api"
	"creel/test/crashgw"
	"creel/test/harness"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestKillsUnderLoad: twenty kills at random moments, under an open loop of
// requests of all kinds. No replayable request fails, no POST is executed twice,
// every failure says truthfully what happened, and each kill causes exactly one
// restart.
func TestKillsUnderLoad(t *testing.T) {
	const kills = 20
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	c := prepare(t, crashgwOptions())
	// On a busy machine most instances are killed before they are of any use.
	patient := strings.Replace(harness.Settings, "fruitless: 8", "fruitless: 100", 1)
	if err := os.WriteFile(c.ConfigPath(), []byte(patient), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Launch()
	first := c.WaitFor("ready", ready).Generation
	ctx, stopLoad := context.WithCancel(t.Context())
	defer stopLoad()
	done := make(chan []*harness.Request, 1)
	loadDice := rand.New(rand.NewPCG(seed, 1))
	go func() { done <- harness.Load(ctx, c.Addr, "r", 250, loadDice) }()
	for n := range kills {
		// A request that meets three kills equally long after it was sent is taken for
		// their cause, and what had to wait is sent as soon as there is an instance.
		// So every other kill comes later after that.
		if n%2 == 1 {
			c.WaitFor("ready before the next kill", ready)
			harness.Pause(t, 100*time.Millisecond)
		}
		harness.Pause(t, time.Duration(dice.IntN(300))*time.Millisecond)
		before := c.Crash()
		c.WaitFor("the next generation", func(st api.Status) bool { return st.Generation > before.Generation })
	}
	c.WaitFor("ready after the last kill", ready)
	harness.Pause(t, 300*time.Millisecond)
	stopLoad()
	all := <-done
	st := c.WaitFor("ready at the end", ready)
	if got := st.Generation - first; got != kills {
		t.Errorf("%d kills caused %d restarts", kills, got)
	}
	if st.Restarts != kills {
		t.Errorf("creel counts %d restarts after %d kills", st.Restarts, kills)
	}
	judge(t, c, all)
}

// judge compares what clients saw with what was executed.
func judge(t *testing.T, c *creel, all []*harness.Request) {
	t.Helper()
	executed := c.ReadLedger().Executions()
	counts := map[string]int{}
	for _, r := range all {
		counts[r.Kind]++
		n := executed[r.ID]
		switch {
		case r.OK():
			if r.Kind != "socket" && n == 0 {
				t.Errorf("answered, but not executed: %v", r)
			}
		case r.Replayable():
			t.Errorf("a replayable request failed: %v", r)
		case r.Err != nil:
			t.Errorf("a failure without a problem document: %v", r)
		case r.Code != "gateway_crashed":
			t.Errorf("a failure with a code that is not true: %v", r)
		default:
			counts["post failed"]++
		}
		if (r.Kind == "post" || r.Kind == "keyed") && n > 1 {
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
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: requests}, Timeout: harness.Patience}
	defer client.CloseIdleConnections()
	var under sync.WaitGroup
	failures := make(chan error, requests)
	for n := range requests {
		under.Go(func() {
			// The first instance answers none of them, so that all are under way at once.
			resp, err := client.Get(c.URL(fmt.Sprintf("/echo?delay=1h&below=2&n=%d", n)))
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
	harness.Poll(t, "all requests to be under way", func() bool { return c.Metric("creel_inflight_requests") == requests }, func() string { return c.Output.String() })
	before := c.Crash()
	under.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	if st := c.WaitFor("ready", ready); st.Generation != before.Generation+1 {
		t.Errorf("one crash led from generation %d to %d", before.Generation, st.Generation)
	}
}

// TestPoison: a GET that ends every instance it reaches is found out after
// three, and innocent requests that were beside it each time are answered.
func TestPoison(t *testing.T) {
	c := start(t, crashgwOptions())
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: harness.Patience}
	defer client.CloseIdleConnections()
	first := c.WaitFor("ready", ready).Generation
	var under sync.WaitGroup
	innocent := make([]*harness.Request, 40)
	for n := range innocent {
		innocent[n] = &harness.Request{ID: fmt.Sprintf("innocent%d", n), Kind: "get"}
		under.Go(func() {
			// Those that are sent to it together answer none of them; the third, to
			// which they are sent one by one, does.
			resp, err := client.Get(c.URL(fmt.Sprintf("/item?delay=1h&below=%d&id=%s", first+2, innocent[n].ID)))
			if err != nil {
				innocent[n].Err = err
				return
			}
			defer resp.Body.Close()
			innocent[n].Read(resp)
		})
	}
	harness.Poll(t, "the innocent requests to be under way", func() bool { return c.Metric("creel_inflight_requests") == float64(len(innocent)) }, c.Output.String)
	poison := &harness.Request{ID: "poison", Kind: "get"}
	resp, err := client.Get(c.URL("/item?id=poison&die=before-headers"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	poison.Read(resp)
	if poison.Status != http.StatusBadGateway || poison.Code != "poison_request" {
		t.Errorf("the poison got %v", poison)
	}
	under.Wait()
	for _, r := range innocent {
		if !r.OK() {
			t.Errorf("an innocent request failed: %v", r)
		}
	}
	deaths := 0
	for _, e := range c.ReadLedger().Entries {
		if e.ID == "poison" && e.Kind == crashgw.KindExecuted {
			deaths++
		}
	}
	if deaths != 3 {
		t.Errorf("the poison reached %d instances", deaths)
	}
	if st := c.WaitFor("ready", ready); st.Generation != first+3 {
		t.Errorf("from generation %d to %d", first, st.Generation)
	}
	if !strings.Contains(c.Events(), `"kind":"poisoned"`) {
		t.Error("the journal does not name it")
	}
}
