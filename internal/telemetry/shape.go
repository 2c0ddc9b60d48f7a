package telemetry

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// The shapes of secrets that are removed though nobody registered them. Each
// rule is called where its trigger byte stands, looks a bounded way back and
// at what follows, and returns the piece to be masked. A rule reads ahead
// without bound only over what it then masks, so a pass is linear.
var rules = [256]func(text string, at int) span{
	':': colon,
	'=': equals,
	'%': percent,
	'-': dash,
	'_': underscore,
	' ': scheme,
	'J': jsonWebToken,
	'z': googleKey,
}

// findShapes appends where something in text looks like a secret.
func findShapes(spans []span, text string) []span {
	for i := 0; i < len(text); i++ {
		rule := rules[text[i]]
		if rule == nil {
			continue
		}
		if s := rule(text, i); !s.empty() {
			spans = append(spans, s)
			i = max(i, s.end-1)
		}
	}
	return spans
}

func colon(text string, at int) span {
	if s := userinfo(text, at); !s.empty() {
		return s
	}
	if s := telegram(text, at, at+1); !s.empty() {
		return s
	}
	return assignment(text, at, at+1)
}

func equals(text string, at int) span {
	if s := queryParameter(text, at); !s.empty() {
		return s
	}
	return assignment(text, at, at+1)
}

// percent treats an encoded "=" or ":" like the plain one: URLs travel inside
// other URLs.
func percent(text string, at int) span {
	if at+3 > len(text) || text[at+1] != '3' {
		return none
	}
	switch text[at+2] {
	case 'A', 'a':
		if s := telegram(text, at, at+3); !s.empty() {
			return s
		}
	case 'D', 'd':
	default:
		return none
	}
	return assignment(text, at, at+3)
}

// userinfo masks "user:password" in "scheme://user:password@host" (RFC 3986
// section 3.2.1).
func userinfo(text string, at int) span {
	if at == 0 || !isAlnum(text[at-1]) || !strings.HasPrefix(text[at:], "://") {
		return none
	}
	start, sign := at+3, -1
	for i := start; i < len(text); i++ {
		switch c := text[i]; {
		case c == '@':
			sign = i
		case c == '/' || c == '?' || c == '#' || endsWord(c):
			return span{start, sign}
		}
	}
	return span{start, sign}
}

// telegram masks a bot token: the bot's number, a colon, and 35 characters or
// so. Five digits are asked for, so that "sha256:…" stays.
func telegram(text string, at, after int) span {
	start := at
	for start > 0 && isDigit(text[start-1]) && at-start < 20 {
		start--
	}
	if n := wordLen(text[after:], 30); at-start < 5 || n < 30 {
		return none
	}
	return span{start, after + wordLen(text[after:], len(text))}
}

// dash masks keys that are known by how they begin ("sk-…" of several model
// providers, "xoxb-…" and "xapp-…" of Slack) and private keys in PEM.
func dash(text string, at int) span {
	if s := privateKey(text, at); !s.empty() {
		return s
	}
	head := text[:at]
	var start int
	switch {
	case strings.HasSuffix(head, "sk"):
		start = at - 2
	case strings.HasSuffix(head, "xapp"):
		start = at - 4
	case len(head) >= 4 && head[at-4:at-1] == "xox":
		start = at - 4
	default:
		return none
	}
	return prefixed(text, start, at+1, 8)
}

// underscore masks GitHub's tokens: "ghp_…" and its kin, "github_pat_…".
func underscore(text string, at int) span {
	head := text[:at]
	switch {
	case strings.HasSuffix(head, "github_pat"):
		return prefixed(text, at-10, at+1, 20)
	case strings.HasSuffix(head, "creel") && base32Len(text[at+1:]) >= 40: // names of metrics are written small
		return prefixed(text, at-5, at+1, 40)
	case len(head) >= 3 && head[at-3:at-1] == "gh" && strings.IndexByte("pousr", head[at-1]) >= 0:
		return prefixed(text, at-3, at+1, 20)
	}
	return none
}

// base32Len is how many characters of base32 (RFC 4648 section 6) a text begins with.
func base32Len(text string) int {
	i := 0
	for i < len(text) && (text[i] >= 'A' && text[i] <= 'Z' || text[i] >= '2' && text[i] <= '7') {
		i++
	}
	return i
}

// googleKey masks "AIza…".
func googleKey(text string, at int) span {
	if !strings.HasSuffix(text[:at], "AI") {
		return none
	}
	return prefixed(text, at-2, at+1, 30)
}

// prefixed masks from start if a word begins there and at least least
// characters of it follow its prefix, which ends at after.
func prefixed(text string, start, after, least int) span {
	if start > 0 && isWord(text[start-1]) || wordLen(text[after:], least) < least {
		return none
	}
	return span{start, after + wordLen(text[after:], len(text))}
}

// jsonWebToken masks a JWT or JWE in compact form (RFC 7515 section 7.1): two
// to five base64url parts, the first of which begins a JSON object.
func jsonWebToken(text string, at int) span {
	start := at - 2
	if start < 0 || text[start:at] != "ey" || start > 0 && isWord(text[start-1]) {
		return none
	}
	end := start + wordLen(text[start:], len(text))
	if end-start < 8 || end >= len(text) || text[end] != '.' || wordLen(text[end+1:], 8) < 8 {
		// Read to the end of a word that is then not masked: at most one rule
		// does so for a word, because it starts where the word starts.
		return none
	}
	for end < len(text) && text[end] == '.' {
		end += 1 + wordLen(text[end+1:], len(text))
	}
	return span{start, end}
}

// scheme masks the credentials after "Bearer" and "Basic" (RFC 9110 section
// 11.4).
func scheme(text string, at int) span {
	start := at
	for start < len(text) && text[start] == ' ' {
		start++
	}
	end := start
	switch {
	case wordBefore(text, at, "bearer"):
		for end < len(text) && isToken68(text[end]) {
			end++
		}
		if proseAfterBearer(text[start:end], text[at-6] == 'B') {
			return none
		}
		return span{start, end}
	case wordBefore(text, at, "basic"):
		for end < len(text) && isToken68(text[end]) {
			end++
		}
		if !userAndPassword(text[start:end]) {
			return none // "basic facts"
		}
		return span{start, end}
	}
	return none
}

// userAndPassword tells whether word is what the scheme "Basic" takes (RFC
// 7617): base64 of something with a colon.
func userAndPassword(word string) bool {
	if len(word)%4 != 0 || !strings.ContainsAny(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=") {
		return false // spares a sentence the decoding
	}
	plain, err := base64.StdEncoding.DecodeString(word)
	return err == nil && bytes.IndexByte(plain, ':') >= 0
}

// proseAfterBearer tells whether word is what a sentence or a challenge goes
// on with, and not a credential.
func proseAfterBearer(word string, capital bool) bool {
	switch name, _, _ := strings.Cut(strings.ToLower(word), "="); strings.TrimRight(name, ".:") {
	case "token", "tokens", "auth", "authentication", "authorization", "credentials", "scheme", "header",
		"realm", "scope", "error", "error_description":
		return true
	}
	return !capital && len(word) < 8 && !strings.ContainsAny(word, "0123456789")
}

// privateKey masks a PEM block (RFC 7468) that holds a private key, to its end
// or, if that was cut off, to the end of the text.
func privateKey(text string, at int) span {
	const begin, label = "-----BEGIN ", "PRIVATE KEY-----"
	if !strings.HasPrefix(text[at:], begin) {
		return none
	}
	rest := text[at+len(begin):]
	i := strings.Index(rest[:min(len(rest), 48)], label)
	if i < 0 {
		return none
	}
	start := at + len(begin) + i + len(label)
	if end := strings.Index(text[start:], "-----END"); end >= 0 {
		return span{start, start + end}
	}
	return span{start, len(text)}
}

// wordBefore tells whether text[:at] ends in word as a word of its own, in any
// case.
func wordBefore(text string, at int, word string) bool {
	start := at - len(word)
	return start >= 0 && strings.EqualFold(text[start:at], word) && (start == 0 || !isAlnum(text[start-1]))
}

// wordLen counts the leading characters of base64url in s, up to limit.
func wordLen(s string, limit int) int {
	n := 0
	for n < len(s) && n < limit && isWord(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isWord(c byte) bool { return isAlnum(c) || c == '_' || c == '-' }

// isToken68 is RFC 9110 section 11.2, and ":" for those who put
// "user:password" there.
func isToken68(c byte) bool {
	return isWord(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '=' || c == ':'
}

// endsWord tells whether c ends a value that stands without quotes.
func endsWord(c byte) bool {
	return c <= ' ' || c == 0x7f || c == '"' || c == '<' || c == '>' || c == '`'
}
