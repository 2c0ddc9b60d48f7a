package fake

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// LLM is an OpenAI-compatible model that streams a fixed answer, word by word, as
// fast as it is let.
type LLM struct {
	server *httptest.Server
	asked  chan struct{}

	mu   sync.Mutex
	hold chan struct{} // closed: answers go on; nil: they are not held
}

// NewLLM starts one that ends with the test.
func NewLLM(t testing.TB) *LLM {
	f := &LLM{asked: make(chan struct{}, 100)}
	f.server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(func() {
		f.Release()
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// URL is its address, for a provider's baseUrl.
func (f *LLM) URL() string { return f.server.URL + "/v1" }

// Asked gets a value with each request for an answer.
func (f *LLM) Asked() <-chan struct{} { return f.asked }

// Hold stops answers after their first words, until Release.
func (f *LLM) Hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold == nil {
		f.hold = make(chan struct{})
	}
}

// Release lets answers go on.
func (f *LLM) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hold != nil {
		close(f.hold)
		f.hold = nil
	}
}

func (f *LLM) serve(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/chat/completions") {
		writeJSON(w, map[string]any{"object": "list", "data": []any{}})
		return
	}
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	select {
	case f.asked <- struct{}{}:
	default: // nobody counts
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	chunk := func(delta, finish string) error {
		_, err := fmt.Fprintf(w, `data: {"id":"c1","object":"chat.completion.chunk","created":%d,"model":"fake-1","choices":[{"index":0,"delta":{%s},"finish_reason":%s}]}`+"\n\n", time.Now().Unix(), delta, finish)
		if err == nil {
			err = flush()
		}
		return err
	}
	if chunk(`"role":"assistant","content":"All is "`, "null") != nil {
		return // the gateway is gone
	}
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if chunk(`"content":"well."`, "null") != nil || chunk("", `"stop"`) != nil {
		return
	}
	_, _ = fmt.Fprint(w, "data: [DONE]\n\n") // likewise
}
