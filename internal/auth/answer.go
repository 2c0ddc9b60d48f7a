package auth

import (
	"encoding/json"
	"errors"
	"net/http"

	"creel/internal/problem"
)

// refused answers with what this package's errors mean to a client.
func refused(w http.ResponseWriter, err error) {
	d := problem.Document{Status: http.StatusInternalServerError, Code: "internal", Title: "creel cannot do that", Detail: err.Error()}
	switch {
	case errors.Is(err, ErrUnknown):
		d.Status, d.Code, d.Title = http.StatusNotFound, CodeNotFound, "There is none"
	case errors.Is(err, ErrInvalid):
		d.Status, d.Code, d.Title = http.StatusBadRequest, "bad_request", "Bad request"
	case errors.Is(err, ErrFull):
		d.Status, d.Code, d.Title = http.StatusConflict, "full", "There is no room"
	}
	d.Write(w)
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only values of this package's own types come here
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the client may be gone: nobody is left to tell
}
