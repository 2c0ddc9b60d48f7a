package auth

import (
	"net/url"
	"strings"
)

// maxNext is the longest place to go to after signing in.
const maxNext = 2048

// safeNext is a place on this host to go to after signing in, or other if what was
// asked for may be none. Browsers take "\" for "/", drop tabs and line breaks, and
// read "//" as another host (WHATWG URL, §4.4); none of these is let through. The
// fragment is dropped: pages act on theirs, and this one was chosen by whoever
// made the link.
func safeNext(next, other string) string {
	next, _, _ = strings.Cut(next, "#")
	if len(next) == 0 || len(next) > maxNext || next[0] != '/' || strings.HasPrefix(next, "//") {
		return other
	}
	for i := range len(next) {
		if c := next[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return other
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return other
	}
	if u.Path == LoginPath || strings.HasPrefix(u.Path, LoginPath+"/") || u.Path == LogoutPath {
		return other
	}
	return next
}
