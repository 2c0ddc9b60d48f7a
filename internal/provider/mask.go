package provider

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// formsOf lists the ways in which a key may be written in an answer. They differ
// only for keys with unusual characters.
func formsOf(key string) [][]byte {
	var forms [][]byte
	seen := map[string]bool{}
	query, path := url.QueryEscape(key), url.PathEscape(key)
	jsonText := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key)
	slashes := strings.ReplaceAll(jsonText, "/", `\/`)
	html := strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(jsonText)
	entities := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;").Replace(key)
	for _, form := range []string{key, query, path, lowerEscapes(query), lowerEscapes(path), jsonText, slashes, html, entities} {
		if !seen[form] {
			seen[form] = true
			forms = append(forms, []byte(form))
		}
	}
	return forms
}

// lowerEscapes writes the digits of %XX in lower case: both are allowed (RFC 3986
// section 2.1).
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// mask puts "*" in the place of each byte of a key in b.
func mask(b []byte, forms [][]byte) {
	for _, form := range forms {
		for rest := b; ; {
			i := bytes.Index(rest, form)
			if i < 0 {
				break
			}
			for j := range form {
				rest[i+j] = '*'
			}
			rest = rest[i+len(form):]
		}
	}
}

// maskFields does it in header fields.
func maskFields(h http.Header, forms [][]byte) {
	for _, values := range h {
		for i, value := range values {
			b := []byte(value)
			mask(b, forms)
			values[i] = string(b)
		}
	}
}

// masker passes a body on with keys masked. It holds nothing back but bytes at the
// end of what has come that may be the beginning of a key.
type masker struct {
	from  io.Reader
	forms [][]byte
	held  []byte // unmasked: how a key may begin
	ready []byte // masked, for readers that ask for little at a time
	err   error  // what from has ended with
}

// Read is an io.Reader's.
func (m *masker) Read(p []byte) (int, error) {
	if len(m.forms) == 0 {
		return m.from.Read(p)
	}
	if len(m.ready) == 0 && len(p) <= m.longest() {
		big := make([]byte, 2*m.longest())
		n, err := m.fill(big)
		if err != nil {
			return 0, err
		}
		m.ready = big[:n]
	}
	if len(m.ready) > 0 {
		n := copy(p, m.ready)
		m.ready = m.ready[n:]
		return n, nil
	}
	return m.fill(p)
}

// fill is Read for a p that is longer than every form.
func (m *masker) fill(p []byte) (int, error) {
	for m.err == nil {
		n := copy(p, m.held)
		got, err := m.from.Read(p[n:])
		n += got
		m.err = err
		mask(p[:n], m.forms)
		keep := 0
		if err == nil {
			keep = beginning(p[:n], m.forms)
		}
		m.held = append(m.held[:0], p[n-keep:n]...)
		if n > keep {
			return n - keep, nil
		}
	}
	return 0, m.err
}

func (m *masker) longest() int {
	n := 0
	for _, form := range m.forms {
		n = max(n, len(form))
	}
	return n
}

// beginning is the length of the longest end of b that some form begins with.
func beginning(b []byte, forms [][]byte) int {
	most := 0
	for _, form := range forms {
		for n := min(len(form)-1, len(b)); n > most; n-- {
			if b[len(b)-n] == form[0] && bytes.Equal(b[len(b)-n:], form[:n]) {
				most = n
				break
			}
		}
	}
	return most
}
