package provider

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// modelWindow is how much of a request's body is looked at for the model's name.
// Clients write it first.
const modelWindow = 1 << 20

// maxModelName is longer than any model's name.
const maxModelName = 128

// requestedModel reads from a body the name of the model that a request is for, and gives the
// body whole again, and what was read of it; empty: there is none to be found. It
// reads no more than it needs, and the request is not sent before it has.
func requestedModel(r *http.Request) (name string, body io.Reader, read []byte) {
	if !hasBody(r) || r.Header.Get("Content-Encoding") != "" {
		return "", r.Body, nil
	}
	if media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); media != "" && !strings.HasSuffix(strings.TrimSpace(media), "json") {
		return "", r.Body, nil
	}
	kept := &bytes.Buffer{}
	name = findModel(json.NewDecoder(io.TeeReader(io.LimitReader(r.Body, modelWindow), kept)))
	return cleanModel(name), io.MultiReader(kept, r.Body), kept.Bytes()
}

func hasBody(r *http.Request) bool {
	return r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0
}

// findModel is the value of "model" in the object that dec reads; empty: it has
// none, or is no object.
func findModel(dec *json.Decoder) string {
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return ""
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return ""
		}
		if key == "model" {
			var name string
			if dec.Decode(&name) != nil {
				return ""
			}
			return name
		}
		var skipped json.RawMessage
		if dec.Decode(&skipped) != nil {
			return ""
		}
	}
	return ""
}

// cleanModel makes a name fit for tables, metrics and files.
func cleanModel(name string) string {
	if len(name) > maxModelName || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) {
		return OtherModels
	}
	return name
}
