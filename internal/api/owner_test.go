package api

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"creel/internal/auth"
)

// TestOwnerProblems: why a password or a passkey is not changed is told apart.
func TestOwnerProblems(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		method, path string
		err          error
		status       int
		code         string
	}{
		{"PUT", "owner/password", auth.ErrInvalid, 400, "bad_request"},
		{"PUT", "owner/password", auth.ErrFromFile, 409, "password_from_file"},
		{"PUT", "owner/password", io.ErrUnexpectedEOF, 503, ""},
		{"DELETE", "owner/password", auth.ErrFromFile, 409, "password_from_file"},
		{"DELETE", "owner/password", auth.ErrUnknown, 404, "no_password"},
		{"DELETE", "owner/password", auth.ErrInvalid, 400, "bad_request"},
		{"DELETE", "owner/passkeys/k1", auth.ErrUnknown, 404, "not_found"},
		{"DELETE", "owner/passkeys/k1", io.ErrUnexpectedEOF, 503, ""},
	} {
		w.people.err = fmt.Errorf("no: %w", test.err)
		body := ""
		if test.method == "PUT" {
			body = `{"password":"SECRET words"}`
		}
		got := serve(w.Control(), asks(t, test.method, v1(test.path), "", body))
		if got.Code != test.status || !strings.Contains(got.Body.String(), test.code) || strings.Contains(got.Body.String(), "SECRET") {
			t.Errorf("%s %s with %v: %d %s", test.method, test.path, test.err, got.Code, got.Body)
		}
	}
}
