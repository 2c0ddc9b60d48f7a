package provider

import (
	"net/url"
	"slices"
	"strings"
)

// What Google's Gemini API has of its own (ai.google.dev/api):
//
//	POST /v1beta/models/MODEL:streamGenerateContent?alt=sse
//	X-Goog-Api-Key: KEY
//
// The model is in the path and not in the body. Fields that a path binds are not taken
// from the body (google.api.http), so that a "model" there evades no budget. The key may
// stand in the query as well, and would then be in the logs of whoever sees the URL:
// clients may say the credential so, and nothing of it goes on; the key goes into the
// field, always.
//
// Rejected: to carry paths below the API's version alone. Files go to /upload/v1beta and
// come from /download/v1beta, beside it: the base is the host, and the gateway's
// address has the version (see Version).

// googleVersion is the API's version in addresses as clients of Google's have them.
const googleVersion = "/v1beta"

// Version is what the gateway has behind the address of the provider at creel: the
// version of the API where its clients expect that there; else empty.
func (p *Provider) Version() string {
	if p.API == Google {
		return googleVersion
	}
	return ""
}

// googleCollections are what models are in.
var googleCollections = []string{"models", "tunedModels", "dynamic"}

// googleModel is the model that an encoded path names to have something done with it, as
// in /v1beta/models/MODEL:generateContent; empty: it names none.
func googleModel(path string) string {
	// To the end, since some server may: what it then takes for the model counts.
	for strings.Contains(path, "%") {
		decoded, err := url.PathUnescape(path)
		if err != nil || decoded == path {
			break
		}
		path = decoded
	}
	segments := strings.Split(path, "/") // "", version, collection, MODEL:METHOD
	if len(segments) != 4 || !strings.HasPrefix(segments[1], "v") || !slices.Contains(googleCollections, segments[2]) {
		return ""
	}
	colon := strings.LastIndexByte(segments[3], ':')
	if colon < 1 {
		return ""
	}
	return cleanModel(bareModel(segments[2] + "/" + segments[3][:colon]))
}

// bareModel is a model of Google's without the name of the usual collection.
func bareModel(name string) string { return strings.TrimPrefix(name, "models/") }

// googleKeys are the parameters of a query that say who asks (cloud.google.com/apis/docs/system-parameters).
var googleKeys = []string{"key", "access_token", "oauth_token"}

// cutKeys takes them out of a query, and gives the rest as it was and what they said.
func cutKeys(query string) (rest string, said []string) {
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err != nil || !slices.Contains(googleKeys, strings.TrimPrefix(plain, "$")) {
			kept = append(kept, part)
			continue
		}
		if plain, err := url.QueryUnescape(value); err == nil {
			said = append(said, plain)
		}
	}
	return strings.Join(kept, "&"), said
}

// googleStatus are the names of google.rpc.Code for the statuses of creel's refusals.
var googleStatus = map[int]string{
	400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 405: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED",
	502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

// googleError is a refusal as a google.rpc.Status in JSON, with its code as the reason of
// a google.rpc.ErrorInfo (google.aip.dev/193).
func (no *refusal) googleError(message string) map[string]any {
	return map[string]any{"error": map[string]any{
		"code": no.status, "message": message, "status": googleStatus[no.status],
		"details": []any{map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": strings.ToUpper(no.code), "domain": "creel"}},
	}}
}
