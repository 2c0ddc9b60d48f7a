package provider

import (
	"net/http"
	"net/url"
	"strings"
)

// checkPath says what is wrong with an encoded path, or nothing. What one server
// takes for a plain character another decodes, and "." and ".." lead out of the
// base path: so both are looked for in each stage of decoding.
func checkPath(path string) string {
	const stages = 4 // more than any server decodes
	for range stages {
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return "a control character"
		}
		if strings.Contains(path, `\`) {
			return `a "\"`
		}
		if strings.Contains(path, "//") {
			return `"//"`
		}
		for segment := range strings.SplitSeq(path, "/") {
			name, _, _ := strings.Cut(segment, ";") // what some servers cut off
			if name == "." || name == ".." {
				return `"." or ".."`
			}
		}
		decoded, err := url.PathUnescape(path)
		if err != nil {
			return "a broken escape"
		}
		if decoded == path {
			return ""
		}
		path = decoded
	}
	return "escapes of escapes"
}

// route is the provider that a request is for, and the rest of its path, encoded,
// with a slash before it or empty. The refusal is nil if there is none.
func (p *Proxy) route(r *http.Request) (to *Provider, rest string, no *refusal) {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
	default: // CONNECT asks for a tunnel, and TRACE for an echo of the key
		return nil, "", refuse(http.StatusMethodNotAllowed, "method_not_allowed", "creel does not pass on the method "+clip(r.Method))
	}
	// Origin-form alone (RFC 9112 section 3.2): what is before the path would name
	// another host.
	if !strings.HasPrefix(r.RequestURI, "/") || r.URL.Host != "" || r.URL.Scheme != "" || r.URL.User != nil {
		return nil, "", refuse(http.StatusBadRequest, "bad_target", "the target of the request is not a path")
	}
	path := r.URL.EscapedPath()
	if wrong := checkPath(path); wrong != "" {
		return nil, "", refuse(http.StatusBadRequest, "bad_target", "the path of the request has "+wrong)
	}
	name, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	to = p.byName[name]
	if to == nil {
		return nil, "", refuse(http.StatusNotFound, "unknown_provider", "creel knows no model provider of that name; see `creel providers`")
	}
	if rest != "" || strings.HasSuffix(path, "/") && strings.Count(path, "/") > 1 {
		rest = "/" + rest
	}
	if r.Header.Get("Upgrade") != "" {
		return to, "", refuse(http.StatusBadRequest, "upgrade_refused", "creel passes no WebSocket on to a model provider; use HTTP streaming")
	}
	return to, rest, nil
}

// target is the URL at the provider for the rest of a path.
func (to *Provider) target(rest, query string) *url.URL {
	u := &url.URL{Scheme: to.Base.Scheme, Host: to.Base.Host, RawQuery: query}
	escaped := to.Base.EscapedPath() + rest
	u.Path, _ = url.PathUnescape(escaped) // it could be, in checkPath
	u.RawPath = escaped
	if u.Path == "" {
		u.Path, u.RawPath = "/", ""
	}
	return u
}

// clip shortens what a client has sent before it is shown.
func clip(s string) string {
	const most = 40
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
