package telemetry

import (
	"net/url"
	"strings"
)

// maxName is how far, in bytes, a rule looks back for a name.
const maxName = 64

// A name decides how far its value goes.
type nameClass int

const (
	plainName  nameClass = iota
	secretName           // its value is a secret
	headerName           // its value is a secret up to the end of the line
)

// secretSuffixes end the names of fields, variables and options whose value is
// a secret, written without "_", "-" and "." in lower case. A bare "key",
// "code" or "auth" is not among them: outside a URL those name harmless things
// far more often.
var secretSuffixes = []string{
	"token", "secret", "password", "passwd", "passphrase", "pwd", "jwt",
	"apikey", "accesskey", "privatekey", "secretkey", "signingkey", "encryptionkey", "authkey",
	"credential", "credentials",
}

// queryWords make a query parameter a secret if its name contains one. The
// list is wide: URLs are where tokens leak from, and a parameter shown as
// redacted in vain costs little.
var queryWords = []string{
	"token", "secret", "key", "passw", "passphrase", "pwd", "auth", "cred", "code", "sig", "jwt", "session",
}

// classify tells what the value of a field, variable or header called name is.
func classify(name string) nameClass {
	var buf [maxName]byte
	n := 0
	for i := max(0, len(name)-maxName); i < len(name); i++ {
		c := name[i]
		if c == '_' || c == '-' || c == '.' {
			continue
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[n] = c
		n++
	}
	switch low := buf[:n]; string(low) {
	case "authorization", "proxyauthorization", "cookie", "setcookie", "cookies", "secwebsocketprotocol":
		return headerName
	case "pass":
		return secretName
	default:
		for _, suffix := range secretSuffixes {
			if n >= len(suffix) && string(low[n-len(suffix):]) == suffix {
				return secretName
			}
		}
	}
	return plainName
}

// queryParameter masks the value of "?token=…", "&sig=…" or "#code=…". The
// text's "=" stands at at.
func queryParameter(text string, at int) span {
	for i := at - 1; i >= 0 && at-i <= maxName; i-- {
		switch c := text[i]; {
		case c == '?' || c == '&' || c == '#' || c == ';':
			if !secretParameter(text[i+1 : at]) {
				return none
			}
			value := bareValue(text, at+1)
			if i := strings.IndexByte(text[value.start:value.end], '#'); i >= 0 {
				value.end = value.start + i
			}
			return masked(text, value)
		case c == '/' || c == '=' || endsWord(c):
			return none
		}
	}
	return none
}

// secretParameter tells whether a query parameter of this name, as it stands
// in the URL, holds a secret.
func secretParameter(name string) bool {
	if strings.IndexByte(name, '%') >= 0 {
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return true // cannot be read, so cannot be cleared either
		}
		name = plain
	}
	for _, word := range queryWords {
		if containsFold(name, word) {
			return true
		}
	}
	return false
}

// containsFold tells whether s contains the lower-case word, in any case.
func containsFold(s, word string) bool {
	for i := 0; i+len(word) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// assignment masks the value of a name that says that it is a secret, in
// JSON, YAML, header lines, environment and log lines, and in the way package
// fmt prints maps. The sign ("=", ":") stands at at, the rest begins at after.
func assignment(text string, at, after int) span {
	name := nameBefore(text, at)
	class := classify(name)
	if class == plainName {
		return none
	}
	i := after
	for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
		i++
	}
	if i == len(text) {
		return none
	}
	switch {
	case text[i] == '[':
		return masked(text, upTo(text, i+1, ']'))
	case text[i] == '{' && text[at] == ':':
		return none // a structure, whose own fields are judged one by one
	}
	if s, ok := quotedValue(text, i); ok {
		return masked(text, s)
	}
	if class == headerName {
		return headerValue(text, name, i)
	}
	s := bareValue(text, i)
	// "cannot read the token: permission denied" is a sentence, and
	// "token: 8f2a91c0" is not. A header line is never a sentence.
	prose := text[at] == ':' && i > after && !hasPrefixFold(name, "x-")
	if prose && !looksRandom(text[s.start:s.end]) {
		return none
	}
	return masked(text, s)
}

// headerValue masks a header's value to the end of its line: cookies contain
// spaces, quotes and equals signs. A list of harmless WebSocket protocols stays.
func headerValue(text, name string, start int) span {
	s := upTo(text, start, '\n')
	if hasPrefixFold(name, "sec") && !secretProtocols(text[s.start:s.end]) {
		return none
	}
	return masked(text, s)
}

// secretProtocols tells whether a list of WebSocket subprotocols carries a
// credential, as browsers must that cannot set a header: "bearer, <token>",
// "base64url.bearer.authorization.k8s.io.<token>".
func secretProtocols(list string) bool {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		for _, word := range []string{"bearer", "token", "auth", "secret"} {
			if containsFold(item, word) {
				return true
			}
		}
		if len(item) >= 16 && looksRandom(item) {
			return true
		}
	}
	return false
}

// nameBefore is the name that ends before text[at], without quotes.
func nameBefore(text string, at int) string {
	end := at
	for end > 0 && at-end < 4 && (text[end-1] == ' ' || text[end-1] == '\t') {
		end--
	}
	if end > 0 && (text[end-1] == '"' || text[end-1] == '\'') {
		end--
		for end > 0 && at-end < maxName && text[end-1] == '\\' {
			end--
		}
	}
	start := end
	for start > 0 && end-start < maxName && (isWord(text[start-1]) || text[start-1] == '.') {
		start--
	}
	return text[start:end]
}

// quotedValue finds the inside of a quoted string that starts at text[i],
// possibly behind backslashes because the whole was quoted once more or
// oftener. If its end is missing it goes to the end of the text.
func quotedValue(text string, i int) (span, bool) {
	depth := 0 // backslashes before the opening quote: 0, 1, 3, 7, …
	for i < len(text) && text[i] == '\\' {
		depth++
		i++
	}
	if i == len(text) || text[i] != '"' && text[i] != '\'' {
		return none, false
	}
	quote, start, slashes := text[i], i+1, 0
	for i = start; i < len(text); i++ {
		switch text[i] {
		case '\\':
			slashes++
			continue
		case quote:
			// Each further level of quoting doubles the backslashes and adds
			// one, so the quote closes at our level exactly if:
			if slashes%(2*(depth+1)) == depth {
				return span{start, i - depth}, true
			}
		}
		slashes = 0
	}
	return span{start, len(text)}, true
}

// bareValue finds the end of a value without quotes. Punctuation at its end
// belongs to the text around it.
func bareValue(text string, start int) span {
	end := start
	for end < len(text) && !endsWord(text[end]) && text[end] != '&' {
		end++
	}
	for end > start && strings.IndexByte(",;.)]}'", text[end-1]) >= 0 {
		end--
	}
	return span{start, end}
}

// upTo is the rest of the line from start, or up to stop if that comes first.
func upTo(text string, start int, stop byte) span {
	end := start
	for end < len(text) && text[end] != stop && text[end] != '\n' && text[end] != '\r' {
		end++
	}
	return span{start, end}
}

// masked leaves alone what holds no secret: nothing, a literal, or a mask.
func masked(text string, s span) span {
	if s.empty() {
		return none
	}
	switch value := text[s.start:s.end]; {
	case value == Mask || value == Mask[:len(Mask)-1]: // its "]" was taken for punctuation
		return none
	case value == Mask[1:len(Mask)-1] && s.start > 0 && text[s.start-1] == '[': // taken for a list
		return none
	case value == "true", value == "false", value == "null", value == "nil", value == "none", value == "undefined":
		return none
	}
	return s
}

// looksRandom tells whether a word is hardly one of a language.
func looksRandom(word string) bool {
	return len(word) >= 20 || len(word) >= 6 && strings.ContainsAny(word, "0123456789")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}
