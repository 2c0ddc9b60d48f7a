package fake

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// LLM is an OpenAI-compatible model that streams its answer in two parts, as fast as
// it is let. It can add (see answerTo), and finds that all is well otherwise. It can
// be made to use a tool before it answers.
type LLM struct {
	server *httptest.Server
	asked  chan struct{}

	mu    sync.Mutex
	hold  chan struct{} // closed: answers go on; nil: they are not held
	uses  []*toolUse    // in the order in which they were asked for
	calls int           // of tools so far
	heard [][]byte      // requests for answers, as they came
}

// toolUse is a tool that the model is to use.
type toolUse struct {
	tool, arguments string
	id              string // of the call; empty: not made yet
	result          chan string
}

// NewLLM starts one that ends with the test.
func NewLLM(t testing.TB) *LLM {
	f := &LLM{asked: make(chan struct{}, 100)}
	f.server = httptest.NewServer(f)
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

// Heard gives the requests for answers so far, one a line, to find out why it has
// said what it has.
func (f *LLM) Heard() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(bytes.Join(f.heard, []byte("\n")), '\n')
}

// Hold stops answers after their first part, until Release.
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

// Use has the model use a tool, with these arguments in JSON, before its next
// answer to whoever offers that tool. What the tool has returned comes through
// the channel.
func (f *LLM) Use(tool, arguments string) <-chan string {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := &toolUse{tool: tool, arguments: arguments, result: make(chan string, 1)}
	f.uses = append(f.uses, u)
	return u.result
}

// llmRequest is a request for an answer, as far as one needs it.
type llmRequest struct {
	Model    string
	Messages []llmMessage
	Tools    []struct{ Function struct{ Name string } }
}

type llmMessage struct {
	Role       string
	ToolCalls  []struct{}      `json:"tool_calls"` // of an assistant
	ToolCallID string          `json:"tool_call_id"`
	Content    json.RawMessage // a text, or parts of one
}

// toolCall hands on what a tool has returned, and gives the delta of the tool's
// call that is to be made now; "": none.
func (f *LLM) toolCall(r llmRequest) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range r.Messages {
		for i, u := range f.uses {
			if m.Role == "tool" && u.id != "" && m.ToolCallID == u.id {
				u.result <- string(m.Content)
				f.uses = append(f.uses[:i:i], f.uses[i+1:]...)
				break
			}
		}
	}
	for _, u := range f.uses {
		for _, t := range r.Tools {
			if u.id == "" && t.Function.Name == u.tool {
				f.calls++
				u.id = fmt.Sprintf("call%d", f.calls)
				return fmt.Sprintf(`"tool_calls":[{"index":0,"id":%q,"type":"function","function":{"name":%q,"arguments":%s}}]`, u.id, u.tool, quoted(u.arguments))
			}
		}
	}
	return ""
}

// quoted is a text in JSON.
func quoted(text string) []byte {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a text always marshals
	}
	return b
}

// ServeHTTP answers what comes to any path that ends with /chat/completions.
func (f *LLM) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/chat/completions") {
		writeJSON(w, map[string]any{"object": "list", "data": []any{}})
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway is gone
	}
	var request llmRequest
	if err := json.Unmarshal(body, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	call := f.toolCall(request)
	first, rest := inTwo(answerTo(request.Messages))
	f.mu.Lock()
	f.heard = append(f.heard, body)
	hold := f.hold
	f.mu.Unlock()
	select {
	case f.asked <- struct{}{}:
	default: // nobody counts
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	chunk := func(delta, finish string) error {
		_, err := fmt.Fprintf(w, `data: {"id":"c1","object":"chat.completion.chunk","created":%d,"model":%s,"choices":[{"index":0,"delta":{%s},"finish_reason":%s}]}`+"\n\n", time.Now().Unix(), quoted(request.Model), delta, finish)
		if err == nil {
			err = flush()
		}
		return err
	}
	if call != "" {
		if chunk(`"role":"assistant",`+call, "null") == nil && chunk("", `"tool_calls"`) == nil {
			_, _ = fmt.Fprint(w, "data: [DONE]\n\n") // the gateway may be gone
		}
		return
	}
	if chunk(`"role":"assistant","content":`+string(quoted(first)), "null") != nil {
		return // the gateway is gone
	}
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	if chunk(`"content":`+string(quoted(rest)), "null") != nil || chunk("", `"stop"`) != nil {
		return
	}
	_, _ = fmt.Fprint(w, "data: [DONE]\n\n") // likewise
}
