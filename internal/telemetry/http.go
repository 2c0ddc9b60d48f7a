package telemetry

import (
	"net/http"
	"net/url"
	"strings"
)

// RedactURL is u as text without its secrets: user information, the values of
// query and fragment parameters whose name tells of a secret, and what Redact
// finds in the rest. A nil URL gives "". The result is for reading; it need
// not parse.
func RedactURL(u *url.URL) string {
	if u == nil {
		return ""
	}
	// The parts are taken one by one, because inside them any character may
	// stand, and only outside is "&" or "#" known to end a value.
	var b strings.Builder
	bare := *u
	bare.User, bare.RawQuery, bare.Fragment, bare.RawFragment, bare.ForceQuery = nil, "", "", "", false
	rest := bare.String()
	if u.User != nil {
		if scheme, after, found := strings.Cut(rest, "//"); found {
			b.WriteString(scheme)
			b.WriteString("//")
			b.WriteString(Mask)
			b.WriteString("@")
			rest = after
		}
	}
	b.WriteString(rest)
	if u.RawQuery != "" {
		b.WriteByte('?')
		redactParameters(&b, u.RawQuery)
	}
	if fragment := u.EscapedFragment(); fragment != "" {
		b.WriteByte('#')
		path, query, found := strings.Cut(fragment, "?") // "#/path?token=…" of single-page apps
		redactParameters(&b, path)
		if found {
			b.WriteByte('?')
			redactParameters(&b, query)
		}
	}
	return Redact(b.String())
}

// redactParameters writes query with the values of secret parameters masked.
func redactParameters(b *strings.Builder, query string) {
	for query != "" {
		pair, sign := query, ""
		if i := strings.IndexAny(query, "&;"); i >= 0 {
			pair, sign = query[:i], query[i:i+1]
		}
		query = query[len(pair)+len(sign):]
		if name, value, found := strings.Cut(pair, "="); found && value != "" && secretParameter(name) {
			b.WriteString(name)
			b.WriteByte('=')
			b.WriteString(Mask)
		} else {
			b.WriteString(pair)
		}
		b.WriteString(sign)
	}
}

// RedactHeader returns a copy of h whose values are safe to show: a header
// that carries credentials by its name has each value replaced by Mask, the
// others go through Redact. A nil header gives nil.
func RedactHeader(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	out := make(http.Header, len(h))
	for name, values := range h {
		shown := make([]string, len(values))
		for i, v := range values {
			shown[i] = redactHeaderValue(name, v)
		}
		out[name] = shown
	}
	return out
}

func redactHeaderValue(name, value string) string {
	switch classify(name) {
	case headerName:
		if hasPrefixFold(name, "sec") && !secretProtocols(value) {
			return Redact(value)
		}
		return Mask
	case secretName:
		return Mask
	default:
		return Redact(value)
	}
}
