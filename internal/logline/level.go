// Package logline reads what a line of a program's output says of itself: how grave it is,
// and of when. Such lines have no form of their own; a line that says nothing has neither.
package logline

import (
	"regexp"
	"slices"
	"strings"
)

// Level is how grave a line of output is by its own words: "debug", "info",
// "warn", "error", or empty.
type Level string

// levels are all of them, the least grave first.
var levels = []Level{"debug", "info", "warn", "error"}

// levelWords are what programs call them.
var levelWords = map[string]Level{
	"trace": "debug", "debug": "debug",
	"info": "info", "notice": "info",
	"warn": "warn", "warning": "warn",
	"error": "error", "fatal": "error", "panic": "error", "critical": "error",
	// As they are cut in consoles, in capitals alone.
	"dbg": "debug", "inf": "info", "wrn": "warn", "err": "error",
}

// levelMark finds where a line says its level. A word that could as well be one of
// its message counts only in capitals, in brackets, before a colon, or as a value
// that is named level or severity. A name of an exception counts as an error.
var levelMark = func() *regexp.Regexp {
	const words = `trace|debug|info|notice|warn|warning|error|fatal|panic|critical`
	return regexp.MustCompile(`(?i:"?\b(?:level|severity)"?\s*[=:]\s*"?(` + words + `)\b)` +
		`|\[(?i:(` + words + `))\]` +
		`|\b(` + strings.ToUpper(words) + `|DBG|INF|WRN|ERR)\b` +
		`|(?:^|[\s\]])(?i:(` + words + `)):` +
		`|\b[A-Z]\w*(Error|Exception)\b` +
		`|\b(Uncaught)\b`)
}()

// levelWithin is how far into a line its level is looked for: behind the time and
// the name of a part of the program.
const levelWithin = 128

// LevelOf is the level that a line says it has; empty: it says none.
func LevelOf(line string) Level {
	head := line
	if !strings.HasPrefix(line, "{") {
		head = line[:min(len(line), levelWithin)]
	}
	found := levelMark.FindStringSubmatch(head)
	if found == nil {
		return ""
	}
	for _, word := range found[1:] {
		if word != "" {
			if level, ok := levelWords[strings.ToLower(word)]; ok {
				return level
			}
			return "error" // an exception, or one that nobody has caught
		}
	}
	return ""
}

// AtLeast tells whether a level is as grave as another one; no other: it always
// is.
func (l Level) AtLeast(other Level) bool {
	return other == "" || slices.Index(levels, l) >= slices.Index(levels, other)
}
