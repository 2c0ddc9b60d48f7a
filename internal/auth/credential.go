package auth

import (
	"crypto/sha256"
	"encoding/base64"
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
)

// A sum is the SHA-256 of a secret: what creel keeps of it.
type sum [sha256.Size]byte

func sumOf(secret string) sum { return sha256.Sum256([]byte(secret)) }

// cookieNames are the names of the cookie that holds a session's secret. They
// have the listener's port in them, since cookies do not tell ports apart (RFC
// 6265 §8.5), and several creels may share a host.
type cookieNames struct {
	plain  string
	secure string // browsers take __Host- from a secure origin for the whole host alone, so that no other can set it
}

func cookieNamesFor(listen string) cookieNames {
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		port = "0"
	}
	return cookieNames{plain: "creel-" + port, secure: "__Host-creel-" + port}
}

func (n cookieNames) of(secure bool) string {
	if secure {
		return n.secure
	}
	return n.plain
}

// owns tells whether a cookie of that name is creel's: a session's, or one of those
// that signing in takes.
func (n cookieNames) owns(name string) bool {
	return name == n.plain || name == n.secure || strings.HasPrefix(name, n.plain+"-")
}

// maxCookies is how many cookies of one name are looked at.
const maxCookies = 8

// cookieValues are the cookies of a name, without allocating. There may be several,
// and one that a page of the gateway has set for a longer path comes first (RFC 6265
// §5.4): whoever looks for one takes the first that is good, not the first that is there.
func cookieValues(h http.Header, name string) iter.Seq[string] {
	return func(yield func(string) bool) { eachCookie(h, name, yield) }
}

func eachCookie(h http.Header, name string, yield func(string) bool) {
	left := maxCookies
	for _, line := range h["Cookie"] {
		for line != "" {
			pair, rest, _ := strings.Cut(line, ";")
			line = rest
			pair = strings.TrimLeft(pair, " \t")
			if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
				if left--; !yield(strings.TrimRight(pair[len(name)+1:], " \t")) || left == 0 {
					return
				}
			}
		}
	}
}

// OwnCookie tells whether a cookie of that name is creel's, which the gateway must not
// set: it could sign people out, or keep them from signing in.
func (g *Gate) OwnCookie(name string) bool { return g.cookies.owns(name) }

// bearer is the API token of creel's that a request carries, or "": as a bearer
// token (RFC 6750), or as the password of Basic (RFC 7617), for clients that know
// nothing but an address with a password in it. byBrowser says that it was Basic.
func bearer(h http.Header) (secret string, byBrowser bool) {
	values := h["Authorization"]
	if len(values) == 0 {
		return "", false
	}
	return creelToken(values[0])
}

func isOurs(authorization string) bool {
	secret, _ := creelToken(authorization)
	return secret != ""
}

func creelToken(authorization string) (secret string, basic bool) {
	scheme, rest, found := strings.Cut(authorization, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case !found:
	case len(scheme) == 6 && strings.EqualFold(scheme, "bearer"):
		if strings.HasPrefix(rest, tokenPrefix) {
			return rest, false
		}
	case len(scheme) == 5 && strings.EqualFold(scheme, "basic"):
		b, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return "", false
		}
		if _, password, _ := strings.Cut(string(b), ":"); strings.HasPrefix(password, tokenPrefix) {
			return password, true
		}
	}
	return "", false
}

// gatewayBearer is a bearer token that is not creel's, or "".
func gatewayBearer(h http.Header) string {
	values := h["Authorization"]
	if len(values) == 0 {
		return ""
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(rest)
}

// strip takes what is creel's out of a request that goes on to the gateway: the
// cookies of sessions, its API tokens, and what Cloudflare Access has vouched with,
// which the gateway could show to creel as its own. All else stays as it was sent.
func (g *Gate) strip(h http.Header) {
	if g.access {
		delete(h, accessHeader)
	}
	if values := h["Authorization"]; slices.ContainsFunc(values, isOurs) {
		if values = slices.DeleteFunc(slices.Clone(values), isOurs); len(values) > 0 {
			h["Authorization"] = values
		} else {
			delete(h, "Authorization")
		}
	}
	if lines := h["Cookie"]; len(lines) > 0 {
		g.stripCookies(h, lines)
	}
}

func (g *Gate) stripCookies(h http.Header, lines []string) {
	ours := false
	for _, line := range lines {
		ours = ours || strings.Contains(line, g.cookies.plain) || // the other name ends with it
			g.access && strings.Contains(line, accessCookie)
	}
	if !ours {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = g.withoutOurs(line); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// withoutOurs is a line of cookies without creel's.
func (g *Gate) withoutOurs(line string) string {
	pairs := strings.Split(line, ";")
	kept := pairs[:0]
	for _, pair := range pairs {
		name, _, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if name = strings.TrimSpace(name); name != g.cookies.plain && name != g.cookies.secure && !(g.access && name == accessCookie) {
			kept = append(kept, pair)
		}
	}
	return strings.TrimSpace(strings.Join(kept, ";"))
}
