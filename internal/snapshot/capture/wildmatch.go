package capture

import "strings"

// wildmatch says whether a name or a path matches a pattern as git's does: "*"
// and "?" do not match "/", "**" as a whole part matches any number of parts,
// "[...]" is a set with ranges and classes as [:alpha:], and "\" takes the
// meaning from the next character. It works on bytes.
func wildmatch(pattern, s string, path bool) bool {
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			return star(pattern, i, s, path)
		case '?':
			if s == "" || s[0] == '/' {
				return false
			}
		case '[':
			if s == "" || s[0] == '/' {
				return false
			}
			end, in := set(pattern[i:], s[0])
			if end == 0 || !in {
				return false
			}
			i += end - 1
		case '\\':
			// At the end of a pattern it makes the pattern void.
			if i++; i == len(pattern) || s == "" || s[0] != pattern[i] {
				return false
			}
		default:
			if s == "" || s[0] != c {
				return false
			}
		}
		s = s[1:]
	}
	return s == ""
}

// star matches s with the rest of a pattern, which begins with a star at i.
func star(pattern string, i int, s string, path bool) bool {
	n := len(pattern[i:]) - len(strings.TrimLeft(pattern[i:], "*"))
	before, rest := pattern[:i], pattern[i+n:]
	whole := n > 1 && path && (before == "" || strings.HasSuffix(before, "/")) &&
		(rest == "" || rest[0] == '/' || strings.HasPrefix(rest, `\/`))
	if whole && rest != "" {
		// "**/" stands for nothing at all, too.
		after := strings.TrimPrefix(rest, `\`)[1:]
		if wildmatch(after, s, path) {
			return true
		}
	}
	for {
		if wildmatchAt(pattern, i+n, s, path) {
			return true
		}
		if s == "" || s[0] == '/' && !whole {
			return false
		}
		s = s[1:]
	}
}

// wildmatchAt matches s with the pattern from i on. What is before a star
// matters, so the pattern is not cut there without need.
func wildmatchAt(pattern string, i int, s string, path bool) bool {
	rest := pattern[i:]
	if rest != "" && rest[0] == '*' {
		return star(pattern, i, s, path)
	}
	return wildmatch(rest, s, path)
}

// set matches c with the set that a pattern begins with. It returns the length
// of the set, 0 if it has no end.
func set(pattern string, c byte) (length int, in bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; ; first = false {
		if i >= len(pattern) {
			return 0, false
		}
		if pattern[i] == ']' && !first {
			return i + 1, in != negated
		}
		if strings.HasPrefix(pattern[i:], "[:") {
			if name, _, found := strings.Cut(pattern[i+2:], ":]"); found && !strings.Contains(name, "]") {
				is, known := class(name, c)
				if !known {
					return 0, false
				}
				in = in || is
				i += len(name) + 4
				continue
			}
		}
		low, next := literal(pattern, i)
		if next == 0 {
			return 0, false
		}
		high := low
		if next+1 < len(pattern) && pattern[next] == '-' && pattern[next+1] != ']' {
			if high, next = literal(pattern, next+1); next == 0 {
				return 0, false
			}
		}
		in = in || c == low || low <= c && c <= high
		i = next
	}
}

// literal reads a character of a set, escaped or not. next is 0 if there is none.
func literal(pattern string, i int) (c byte, next int) {
	if pattern[i] == '\\' {
		if i++; i == len(pattern) {
			return 0, 0
		}
	}
	return pattern[i], i + 1
}

// class says whether a byte is in a POSIX class.
func class(name string, c byte) (is, known bool) {
	lower, upper := c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z'
	digit := c >= '0' && c <= '9'
	graph := c > ' ' && c < 0x7f
	switch name {
	case "alnum":
		return lower || upper || digit, true
	case "alpha":
		return lower || upper, true
	case "blank":
		return c == ' ' || c == '\t', true
	case "cntrl":
		return c < ' ' || c == 0x7f, true
	case "digit":
		return digit, true
	case "graph":
		return graph, true
	case "lower":
		return lower, true
	case "print":
		return graph || c == ' ', true
	case "punct":
		return graph && !lower && !upper && !digit, true
	case "space":
		return c == ' ' || c >= '\t' && c <= '\r', true
	case "upper":
		return upper, true
	case "xdigit":
		return digit || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F', true
	}
	return false, false
}
