package problem

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestWrite: the document as it stands on the wire.
func TestWrite(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("X-Left-Over", "1")
	w.Header().Set("Connection", "close")
	d := Document{
		Status: 503, Code: "hold_timeout", Title: "The gateway is not available", Detail: "it is \"starting\"", Hint: "Try again.",
		Gateway: "main", Generation: 7, RequestID: "r1", RetryAfter: 1100 * time.Millisecond,
	}
	d.Write(w)
	want := map[string]any{
		"type": "urn:creel:problem:hold_timeout", "title": "The gateway is not available", "status": 503.0, "detail": `it is "starting"`,
		"code": "hold_timeout", "error": "The gateway is not available", "details": `it is "starting"`, "hint": "Try again.",
		"gateway": "main", "generation": 7.0, "request_id": "r1",
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for member, v := range want {
		if got[member] != v {
			t.Errorf("%s: %v, want %v", member, got[member], v)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the document has %v", got)
	}
	if w.Code != 503 {
		t.Errorf("status %d", w.Code)
	}
	for name, v := range map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Retry-After": "2", "Connection": "close", "X-Left-Over": "",
	} {
		if got := w.Header().Get(name); got != v {
			t.Errorf("%s: %q, want %q", name, got, v)
		}
	}
}

// TestWriteLittle: what is not known is left out.
func TestWriteLittle(t *testing.T) {
	w := httptest.NewRecorder()
	(&Document{Status: 400, Code: "bad", Title: "Bad"}).Write(w)
	if got, want := w.Body.String(), `{"type":"urn:creel:problem:bad","title":"Bad","status":400,"code":"bad","error":"Bad"}`+"\n"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, ok := w.Header()[http.CanonicalHeaderKey("Retry-After")]; ok {
		t.Error("Retry-After without a time")
	}
}
