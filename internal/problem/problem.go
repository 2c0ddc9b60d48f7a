// Package problem writes errors to HTTP clients: RFC 9457 problem documents
// that also carry the members "error", "details" and "hint", which clients of
// earlier gateways know.
package problem

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

// ContentType is the media type of problem documents (RFC 9457 §6.1).
const ContentType = "application/problem+json"

// Document is one problem.
type Document struct {
	Status     int           // HTTP status
	Code       string        // stable word, such as "poison_request"
	Title      string        // the sort of problem; the same for all with this code
	Detail     string        // what happened to this request
	Hint       string        // what can be done about it
	Gateway    string        // name of the gateway
	Generation uint64        // instance that the request had to do with; 0: none
	RequestID  string        // finds the request in creel's log
	Sent       bool          // of a refusal: it was sent to an instance before, which may have acted on it
	RetryAfter time.Duration // 0: no Retry-After field
}

// body is the wire form.
type body struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail,omitempty"`
	Code       string `json:"code"`
	Error      string `json:"error"`
	Details    string `json:"details,omitempty"`
	Hint       string `json:"hint,omitempty"`
	Gateway    string `json:"gateway,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	Sent       bool   `json:"sent,omitempty"`
}

// MarshalJSON gives the wire form.
func (d *Document) MarshalJSON() ([]byte, error) {
	return json.Marshal(body{
		Type: "urn:creel:problem:" + d.Code, Title: d.Title, Status: d.Status, Detail: d.Detail, Code: d.Code,
		Error: d.Title, Details: d.Detail, Hint: d.Hint, Gateway: d.Gateway, Generation: d.Generation, RequestID: d.RequestID, Sent: d.Sent,
	})
}

// Write answers with the document. The answer is never stored by caches. Header
// fields that were set before are dropped, but for Connection.
func (d *Document) Write(w http.ResponseWriter) {
	b, err := json.Marshal(d)
	if err != nil { // strings and numbers always marshal
		panic(err)
	}
	h := w.Header()
	connection := h["Connection"]
	clear(h)
	if connection != nil {
		h["Connection"] = connection
	}
	h.Set("Content-Type", ContentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	if d.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.RetryAfter.Seconds()))))
	}
	w.WriteHeader(d.Status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone: nobody is left to tell
}
