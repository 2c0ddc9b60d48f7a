package fake

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(tests{m})
}

// tests leave no connections behind. (With goleak.Cleanup what is left would be said,
// and nothing would fail.)
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return t.M.Run()
}

// ask asks a model, and gives what it streams, part by part.
func ask(t *testing.T, base, body string) (parts []string) {
	t.Helper()
	r, err := http.Post(base+"/chat/completions", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, %s", r.StatusCode, r.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(r.Body)
	done := false
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		if part := chunk.Choices[0].Delta.Content; part != "" {
			parts = append(parts, part)
		}
	}
	if err := lines.Err(); err != nil || !done {
		t.Fatalf("the stream ended with %v, done: %v", err, done)
	}
	return parts
}

func TestLLMAnswers(t *testing.T) {
	llm := NewLLM(t)
	for _, test := range []struct{ name, messages, want string }{
		{"a sum", `[{"role":"user","content":"What is 847293 + 651824?"}]`, "1499117"},
		{"in parts", `[{"role":"user","content":[{"type":"text","text":"What is 1+2?"}]}]`, "3"},
		{"with something behind it", `[{"role":"user","content":"What is 1 + 2?"},{"role":"user","content":"Context: none."}]`, "3"},
		{"the last of two", `[{"role":"user","content":"What is 1 + 2?"},{"role":"user","content":"What is 3 + 4?"}]`, "7"},
		{"one that was answered", `[{"role":"user","content":"What is 1 + 2?"},{"role":"assistant","content":"3"},{"role":"user","content":"Fine?"}]`, AllIsWell},
		{"one that needed a tool", `[{"role":"user","content":"What is 1 + 2?"},{"role":"assistant","tool_calls":[{"id":"call1"}]},{"role":"tool","tool_call_id":"call1","content":"4 + 5"}]`, "3"},
		{"one that is quoted", `[{"role":"user","content":"What is 1 + 2?"},{"role":"user","content":"<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>\nUser: What is 3 + 4?\n<<<END_OPENCLAW_INTERNAL_CONTEXT>>>"}]`, "3"},
		{"no sum", `[{"role":"user","content":"How is it?"}]`, AllIsWell},
		{"too great a sum", `[{"role":"user","content":"What is 99999999999999999999 + 1?"}]`, AllIsWell},
	} {
		t.Run(test.name, func(t *testing.T) {
			parts := ask(t, llm.URL(), `{"model":"m","stream":true,"messages":`+test.messages+`}`)
			if got := strings.Join(parts, ""); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// TestLLMHeld: an answer stops in its midst and goes on when it is let.
func TestLLMHeld(t *testing.T) {
	llm := NewLLM(t)
	llm.Hold()
	answered := make(chan []string, 1)
	go func() {
		answered <- ask(t, llm.URL(), `{"messages":[{"role":"user","content":"What is 111111 + 222222?"}]}`)
	}()
	<-llm.Asked()
	select {
	case parts := <-answered:
		t.Fatalf("it was answered though it is held: %q", parts)
	default:
	}
	llm.Release()
	if parts := <-answered; len(parts) != 2 || parts[0] != "333" || parts[1] != "333" {
		t.Errorf("the answer came as %q", parts)
	}
}
