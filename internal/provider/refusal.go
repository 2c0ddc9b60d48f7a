package provider

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// refusal is an answer of creel's own.
type refusal struct {
	status     int
	code       string // stable
	message    string // one sentence, for the chat
	retryAfter time.Duration
	class      string // for the count; empty: the request is not counted
	err        error  // for creel's log; may be nil
}

func refuse(status int, code, message string) *refusal {
	return &refusal{status: status, code: code, message: message}
}

// write answers in the form of the API's own errors:
//
//	OpenAI     {"error":{"message":…,"type":…,"param":null,"code":…}}
//	Anthropic  {"type":"error","error":{"type":…,"message":…}}
//	Ollama     {"error":…}
//	Google     {"error":{"code":429,"message":…,"status":…,"details":[…]}}
func (no *refusal) write(w http.ResponseWriter, api API) {
	message := "creel: " + no.message
	var body any
	switch api {
	case Anthropic:
		body = map[string]any{"type": "error", "error": map[string]any{"type": no.kindFor(api), "message": message, "code": no.code}}
	case Ollama:
		body = map[string]any{"error": message, "code": no.code}
	case Google:
		body = no.googleError(message)
	default:
		body = map[string]any{"error": map[string]any{"message": message, "type": no.kindFor(api), "param": nil, "code": no.code}}
	}
	b, err := json.Marshal(body)
	if err != nil { // texts always marshal
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("Cache-Control", "no-store")
	// The providers' own clients repeat 429 and 5xx unless they are told not to.
	h.Set("X-Should-Retry", "false")
	if no.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((no.retryAfter+time.Second-1)/time.Second)))
	}
	w.WriteHeader(no.status)
	_, _ = w.Write(b) // the gateway may be gone: nobody is left to tell
}

// kindFor is the API's word for an error of that status.
func (no *refusal) kindFor(api API) string {
	if api == Anthropic {
		switch no.status {
		case http.StatusUnauthorized:
			return "authentication_error"
		case http.StatusNotFound:
			return "not_found_error"
		case http.StatusTooManyRequests:
			return "rate_limit_error"
		case http.StatusBadRequest, http.StatusMethodNotAllowed:
			return "invalid_request_error"
		}
		return "api_error"
	}
	switch {
	case no.status == http.StatusUnauthorized:
		return "authentication_error"
	case no.status == http.StatusTooManyRequests:
		return "rate_limit_exceeded" // "insufficient_quota" would be told as a bill that is not paid
	case no.status < http.StatusInternalServerError:
		return "invalid_request_error"
	}
	return "server_error"
}
