package proxy

import (
	"bufio"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// hopByHop tells whether a field belongs to one connection and is never passed
// on (RFC 9110 §7.6.1, and Keep-Alive, Proxy-* which older peers send).
func hopByHop(key string) bool {
	switch key {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// connectionOptions are the fields that a Connection field names: they belong to
// the connection too.
func connectionOptions(h http.Header) map[string]bool {
	values := h["Connection"]
	if len(values) == 0 || (len(values) == 1 && (values[0] == "keep-alive" || values[0] == "close")) {
		return nil
	}
	named := map[string]bool{}
	for _, v := range values {
		for f := range strings.SplitSeq(v, ",") {
			if f = strings.TrimSpace(f); f != "" {
				named[http.CanonicalHeaderKey(f)] = true
			}
		}
	}
	return named
}

// upgradeOf is the protocol that a client wants to change to, or "". HTTP/1.0
// knows no upgrade (RFC 9110 §7.8). HTTP/2 in the clear by upgrade is obsolete
// (RFC 9113 §3.1), and would let a client speak past creel.
func upgradeOf(r *http.Request) string {
	protocol := upgradeField(r.Header)
	if protocol == "" || !r.ProtoAtLeast(1, 1) {
		return ""
	}
	for p := range strings.SplitSeq(protocol, ",") {
		p = strings.ToLower(strings.TrimSpace(p))
		if strings.HasPrefix(p, "h2") || strings.HasPrefix(p, "http/") || strings.HasPrefix(p, "tls/") {
			return ""
		}
	}
	return protocol
}

// upgradeField is what a message's Upgrade field says, or "".
func upgradeField(h http.Header) string {
	if len(h["Upgrade"]) == 0 || !httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade") {
		return ""
	}
	return strings.Join(h["Upgrade"], ", ")
}

// announced is the list of a message's announced trailer fields that are passed on.
func announced(trailer http.Header) string {
	if len(trailer) == 0 {
		return ""
	}
	var names []string
	for name := range trailer {
		if httpguts.ValidHeaderFieldName(name) && !unfitForTrailer(name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// unfitForTrailer tells whether a field must not come after a body: it would
// have to be known before (RFC 9110 §6.5.1).
func unfitForTrailer(key string) bool {
	switch key {
	case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Host", "Authorization", "Cookie", "Set-Cookie":
		return true
	}
	return hopByHop(key) || isForwardingField(key)
}

// WriteHead writes the request as the gateway gets it. It implements
// upstream.Client.
func (x *passage) WriteHead(bw *bufio.Writer) {
	r := x.req
	bw.WriteString(r.Method)
	bw.WriteByte(' ')
	bw.WriteString(requestTarget(r))
	bw.WriteString(" HTTP/1.1\r\nHost: ")
	bw.WriteString(r.Host)
	bw.WriteString("\r\n")
	who := x.set.forwarding.about(r)
	named := connectionOptions(r.Header)
	for key, values := range r.Header {
		switch {
		case key == "Host", // HTTP/2 may have one beside :authority, which counts (RFC 9113 §8.3.1)
			key == "Content-Length", key == "Expect", key == "Http2-Settings", hopByHop(key), named[key],
			isForwardingField(key) && !who.passes(key):
			continue
		}
		for _, v := range values {
			writeField(bw, key, v)
		}
	}
	switch {
	case x.upgrade != "":
		writeField(bw, "Connection", "Upgrade")
		writeField(bw, "Upgrade", x.upgrade)
	case httpguts.HeaderValuesContainsToken(r.Header["Te"], "trailers"):
		// RFC 9110 §10.1.4 wants TE to be named as the connection's own.
		bw.WriteString("Connection: TE\r\nTE: trailers\r\n")
	}
	if x.trailers != "" && x.out.Length < 0 {
		writeField(bw, "Trailer", x.trailers)
	}
	who.write(bw, r)
}

// requestTarget is the target in origin form (RFC 9112 §3.2.1), to the letter
// as the client sent it, so that the app sees its own escapes.
func requestTarget(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") || r.RequestURI == "*" {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// unsound says what keeps a request from being written as one of HTTP/1, where it
// would be read as another one; "": nothing. HTTP/1 cannot bring such a method, and
// such a host only in an absolute target; HTTP/2 can (RFC 9113 §10.3).
func unsound(r *http.Request) string {
	switch {
	case !httpguts.ValidHeaderFieldName(r.Method): // a token, too (RFC 9110 §9.1)
		return "its method is no token"
	case !httpguts.ValidHostHeader(r.Host):
		return "the host that it names has a character that no host has"
	}
	return ""
}

// soundTarget tells whether a target can stand in a request line. A request
// line of HTTP/1 cannot bring any other; the :path of HTTP/2 can.
func soundTarget(target string) bool {
	if target != "*" && !strings.HasPrefix(target, "/") {
		return false // "http:foo" in absolute form: nothing of it is a path
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// Trailer implements upstream.Client: fields after the body, which the server
// has filled in by the time that the body has been read.
func (x *passage) Trailer() http.Header {
	fields := http.Header{}
	for name, values := range x.req.Trailer {
		if len(values) > 0 && !unfitForTrailer(name) {
			fields[name] = values
		}
	}
	return fields
}

// Interim passes on an interim answer such as 103 (RFC 9110 §15.2). It
// implements upstream.Client.
func (x *passage) Interim(status int, header http.Header) {
	if !x.req.ProtoAtLeast(1, 1) {
		return // HTTP/1.0 has none, and takes one for the answer
	}
	w := x.clientWriter()
	if w.before() != nil {
		return // the client is gone, which the request's context tells
	}
	defer func() { _ = w.after() }() // likewise
	h := x.w.Header()
	final := maps.Clone(h) // what creel has put there is for the final answer
	clear(h)
	x.proxy.copyHeader(h, header)
	x.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
}

// copyHeader copies the fields of an answer that are not of the connection, and no
// cookies of creel's.
func (p *Proxy) copyHeader(dst, src http.Header) {
	named := connectionOptions(src)
	for key, values := range src {
		if !hopByHop(key) && !named[key] {
			dst[key] = values
		}
	}
	if set := dst["Set-Cookie"]; p.opts.OwnCookie != nil && slices.ContainsFunc(set, p.setsOwn) {
		if set = slices.DeleteFunc(slices.Clone(set), p.setsOwn); len(set) > 0 {
			dst["Set-Cookie"] = set
		} else {
			delete(dst, "Set-Cookie")
		}
	}
}

// setsOwn tells whether a Set-Cookie field sets a cookie of creel's. One without a name
// comes back as its value alone, which may look like a name and a value.
func (p *Proxy) setsOwn(field string) bool {
	name, _, _ := strings.Cut(strings.TrimLeft(field, "= \t"), "=")
	return p.opts.OwnCookie(strings.TrimSpace(name))
}
