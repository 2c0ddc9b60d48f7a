package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Mask stands where a secret was.
const Mask = "[redacted]"

// MinSecret is the length, in bytes, of the shortest secret that can be
// registered.
const MinSecret = 6

// ErrWeakSecret is returned for a secret that cannot be told from ordinary
// text: shorter than MinSecret, or part of Mask.
var ErrWeakSecret = errors.New("too short or too common to be recognised in text")

// Redactor removes secrets from text: those that it was told, and whatever
// looks like one. Its methods may be called from any goroutine.
type Redactor struct {
	mu    sync.Mutex               // held while forms is replaced
	forms atomic.Pointer[[]string] // every spelling of every known secret; never changed in place
}

// process is the redactor of this process: what one part of creel knows to be
// a secret is a secret in all of its output.
var process = new(Redactor)

// Register makes secret known to this process: from now on Redact removes it.
// There is no way back, because an old token stays in old texts. Registering
// it again is no error. The error wraps ErrWeakSecret.
func Register(secret string) error { return process.Register(secret) }

// Redact returns text without the secrets registered in this process and
// without what looks like a secret. Each is replaced by Mask.
func Redact(text string) string { return process.Redact(text) }

// NewRedactor returns a redactor that knows secrets and no others. The error
// wraps ErrWeakSecret.
func NewRedactor(secrets ...string) (*Redactor, error) {
	r := new(Redactor)
	for _, s := range secrets {
		if err := r.Register(s); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Register makes secret known. The error wraps ErrWeakSecret.
func (r *Redactor) Register(secret string) error {
	if len(secret) < MinSecret || strings.Contains(Mask, secret) {
		// The secret is not named: the error may be logged.
		return fmt.Errorf("cannot keep a secret of %d bytes out of texts: %w; choose one of at least %d bytes",
			len(secret), ErrWeakSecret, MinSecret)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var known []string
	if p := r.forms.Load(); p != nil {
		known = *p
	}
	grown := slices.Clone(known)
	for _, form := range spellings(secret) {
		if !slices.Contains(grown, form) {
			grown = append(grown, form)
		}
	}
	if len(grown) > len(known) {
		r.forms.Store(&grown)
	}
	return nil
}

// spellings lists the ways in which a secret shows in URLs, JSON and Go
// strings, itself first. They differ only for secrets with unusual characters.
func spellings(secret string) []string {
	forms := []string{secret, url.QueryEscape(secret), url.PathEscape(secret)}
	quoted := strconv.Quote(secret)
	forms = append(forms, quoted[1:len(quoted)-1])
	for _, html := range []bool{true, false} {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(html)
		if err := enc.Encode(secret); err == nil { // a string always encodes
			line := strings.TrimSuffix(b.String(), "\n")
			forms = append(forms, line[1:len(line)-1])
		}
	}
	// Percent-encoding is written in either case (RFC 3986 section 2.1).
	return append(forms, lowerEscapes(forms[1]), lowerEscapes(forms[2]))
}

// lowerEscapes writes the hexadecimal digits of %XX in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// Redact returns text without known secrets and without what looks like one.
func (r *Redactor) Redact(text string) string {
	var known []string
	if p := r.forms.Load(); p != nil {
		known = *p
	}
	spans := findShapes(findKnown(nil, text, known), text)
	if len(spans) == 0 {
		return text
	}
	out := mask(text, spans)
	// Mask next to what was around it may spell a known secret that the text
	// did not hold. Rare to the point of malice; then nothing is shown.
	if len(findKnown(nil, out, known)) > 0 {
		return Mask
	}
	return out
}

// span is a piece of a text, from start up to but without end.
type span struct{ start, end int }

var none span

func (s span) empty() bool { return s.end <= s.start }

// findKnown appends where known secrets stand in text. Occurrences may
// overlap, and all of them count.
func findKnown(spans []span, text string, known []string) []span {
	for _, secret := range known {
		for from := 0; ; {
			i := strings.Index(text[from:], secret)
			if i < 0 {
				break
			}
			at := span{from + i, from + i + len(secret)}
			if n := len(spans); n > 0 && spans[n-1].start <= at.start && at.start <= spans[n-1].end {
				spans[n-1].end = max(spans[n-1].end, at.end)
			} else {
				spans = append(spans, at)
			}
			from = at.start + 1
		}
	}
	return spans
}

// mask replaces each span by Mask; spans that touch or overlap share one.
func mask(text string, spans []span) string {
	slices.SortFunc(spans, func(a, b span) int { return a.start - b.start })
	var b strings.Builder
	b.Grow(len(text))
	end := 0
	for i, s := range spans {
		if i > 0 && s.start <= end {
			end = max(end, s.end)
			continue
		}
		b.WriteString(text[end:s.start])
		b.WriteString(Mask)
		end = s.end
	}
	b.WriteString(text[end:])
	return b.String()
}
