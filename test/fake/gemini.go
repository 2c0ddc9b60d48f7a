package fake

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Gemini speaks Google's Gemini API: streamGenerateContent?alt=sse. It adds (see
// answerTo), tells of usage with each piece, as Google does, and takes its key alone.
type Gemini struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []GeminiRequest
}

// GeminiKey is the key that it takes; it is nobody's.
const GeminiKey = "AIza-FAKE-3c9b7e51d20f4a86"

// GeminiRequest is a request that it has got.
type GeminiRequest struct {
	Method, Target string // the path and the query, as they came
	Key            string // of the field x-goog-api-key
	Fields, Body   string // all of them
}

// What it tells of usage: so many tokens in, and so many out with each answer.
const (
	GeminiTokensIn  = 100
	GeminiTokensOut = 42 // of which 30 are thoughts
)

// NewGemini starts one that ends with the test.
func NewGemini(t testing.TB) *Gemini {
	f := &Gemini{}
	f.server = httptest.NewServer(f)
	t.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
	})
	return f
}

// URL is its address, without the version of its API.
func (f *Gemini) URL() string { return f.server.URL }

// Requests gives what it has got so far.
func (f *Gemini) Requests() []GeminiRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// geminiRequest is a request for an answer, as far as one needs it.
type geminiRequest struct {
	Contents []struct {
		Role  string
		Parts json.RawMessage
	}
}

// ServeHTTP answers like Google.
func (f *Gemini) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway is gone
	}
	got := GeminiRequest{Method: r.Method, Target: r.RequestURI, Key: r.Header.Get("X-Goog-Api-Key"), Fields: fmt.Sprint(r.Header), Body: string(body)}
	f.mu.Lock()
	f.requests = append(f.requests, got)
	f.mu.Unlock()
	model, asked := strings.CutPrefix(r.URL.Path, "/v1beta/models/")
	model, stream := strings.CutSuffix(model, ":streamGenerateContent")
	var request geminiRequest
	err = json.Unmarshal(body, &request)
	switch {
	case got.Key != GeminiKey:
		f.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.")
	case r.Method == http.MethodGet: // lists
		w.Header().Set("Content-Type", "application/json")
		writeJSON(w, map[string]any{})
	case r.Method != http.MethodPost, !asked, !stream, r.URL.Query().Get("alt") != "sse":
		f.refuse(w, http.StatusNotFound, "NOT_FOUND", "Requested entity was not found.")
	case err != nil:
		f.refuse(w, http.StatusBadRequest, "INVALID_ARGUMENT", err.Error())
	default:
		first, rest := inTwo(answerTo(request.messages()))
		w.Header().Set("Content-Type", "text/event-stream")
		_ = errors.Join(f.piece(w, model, first, ""), f.piece(w, model, rest, "STOP")) // the gateway may be gone
	}
}

// messages are its contents as OpenAI has them.
func (r geminiRequest) messages() []llmMessage {
	var list []llmMessage
	for _, c := range r.Contents {
		m := llmMessage{Role: c.Role, Content: c.Parts}
		if c.Role == "model" {
			m.Role = "assistant"
		}
		list = append(list, m)
	}
	return list
}

// piece sends a part of an answer; the last one says why it ends.
func (f *Gemini) piece(w http.ResponseWriter, model, text, finish string) error {
	candidate := map[string]any{"content": map[string]any{"role": "model", "parts": []any{map[string]any{"text": text}}}, "index": 0}
	usage := map[string]any{"promptTokenCount": GeminiTokensIn, "totalTokenCount": GeminiTokensIn}
	if finish != "" {
		candidate["finishReason"] = finish
		usage = map[string]any{"promptTokenCount": GeminiTokensIn, "candidatesTokenCount": GeminiTokensOut - 30, "thoughtsTokenCount": 30, "totalTokenCount": GeminiTokensIn + GeminiTokensOut}
	}
	b, err := json.Marshal(map[string]any{"candidates": []any{candidate}, "usageMetadata": usage, "modelVersion": model, "responseId": "r1"})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "data: %s\r\n\r\n", b); err != nil {
		return err
	}
	return http.NewResponseController(w).Flush()
}

// refuse answers with a google.rpc.Status.
func (f *Gemini) refuse(w http.ResponseWriter, status int, name, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, map[string]any{"error": map[string]any{"code": status, "message": message, "status": name}})
}
