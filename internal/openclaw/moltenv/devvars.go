package moltenv

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// DevVarsError says which line of a .dev.vars file cannot be read.
type DevVarsError struct {
	Line   int // the first is 1
	Reason string
}

func (e *DevVarsError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ParseDevVars reads a .dev.vars file, as wrangler does, into NAME=value entries:
// a line for each, blank lines and lines that begin with #, quotes of three sorts
// around values, which may then hold # and line breaks, \n in double quotes. The
// error is a *DevVarsError, which never shows a value.
//
// The libraries for such files put other variables in the place of $NAME, which a
// secret may well hold; wrangler does not, nor does this.
func ParseDevVars(b []byte) ([]string, error) {
	text := strings.ReplaceAll(string(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))), "\r\n", "\n")
	var list []string
	for line := 1; text != ""; {
		first, rest, _ := strings.Cut(text, "\n")
		trimmed := strings.TrimSpace(first)
		if trimmed == "" || trimmed[0] == '#' {
			text = rest
			line++
			continue
		}
		name, _, ok := strings.Cut(trimmed, "=")
		name = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), "export "))
		if !ok || !variableName.MatchString(name) {
			return nil, &DevVarsError{line, "it is not of the form NAME=value"}
		}
		value, used, err := devValue(text[strings.IndexByte(text, '=')+1:])
		if err != "" {
			return nil, &DevVarsError{line, fmt.Sprintf("%s: %s", name, err)}
		}
		list = append(list, name+"="+value)
		used += strings.IndexByte(text, '=') + 1
		line += strings.Count(text[:used], "\n")
		text = text[used:]
	}
	return list, nil
}

// devValue reads a value and tells how many bytes it takes, the end of its line
// included.
func devValue(text string) (value string, used int, problem string) {
	skipped := len(text) - len(strings.TrimLeft(text, " \t"))
	body := text[skipped:]
	if body == "" || !strings.ContainsRune("\"'`", rune(body[0])) {
		first, _, found := strings.Cut(text, "\n")
		used = len(first)
		if found {
			used++
		}
		if i := strings.Index(first, " #"); i >= 0 {
			first = first[:i]
		}
		return strings.TrimSpace(first), used, ""
	}
	end := strings.IndexByte(body[1:], body[0])
	if end < 0 {
		return "", 0, "its quote does not end"
	}
	value, after := body[1:1+end], body[end+2:]
	if body[0] == '"' {
		value = strings.NewReplacer(`\n`, "\n", `\r`, "\r").Replace(value)
	}
	tail, _, found := strings.Cut(after, "\n")
	if t := strings.TrimSpace(tail); t != "" && t[0] != '#' {
		return "", 0, "there is something after its quote"
	}
	used = len(text) - len(after) + len(tail)
	if found {
		used++
	}
	return value, used, ""
}
