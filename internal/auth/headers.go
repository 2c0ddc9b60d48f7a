package auth

import (
	"crypto/rand"
	"net/http"
)

// Nonce is a new nonce for SecurityHeaders.
func Nonce() string { return rand.Text() }

// SecurityHeaders sets what keeps a page of creel's own to itself: it runs and
// styles only what carries the nonce (attribute nonce on script, style and link;
// modules that such a script imports are let in with it), loads and sends nothing
// to any other host, cannot be framed, tells no other site of itself, and is not
// stored. Cross-origin isolation is left to the gateway's own pages, which share
// the host.
//
// The page must have no inline handlers (onclick=…) and no style attributes.
// Scripts of the same host are not let in for being there ('self'): the gateway
// shares the host, and may serve what agents have made.
func SecurityHeaders(h http.Header, nonce string) {
	Guard(h)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "+
		"connect-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; "+
		"style-src 'nonce-"+nonce+"'; script-src 'nonce-"+nonce+"'")
}

// Guard sets what every answer of creel's own carries, assets included.
func Guard(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}
