package logline

import (
	"regexp"
	"strings"
	"time"
)

// timeWithin is how far into a line the time is looked for that it says of itself.
const timeWithin = 256

// timeMark finds a time with its zone (RFC 3339, also with a space): where a line begins,
// or as the value of what is named time, ts or timestamp in a line of JSON or of
// key=value pairs. Any other time may be what the line is about.
var timeMark = func() *regexp.Regexp {
	const stamp = `(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d))`
	return regexp.MustCompile(`^[\s\[(]*` + stamp + `|(?:^|[\s{,])"?(?:time|ts|timestamp|@timestamp)"?\s*[=:]\s*"?` + stamp)
}()

// Cut takes the time off a line that begins with it; without one, the line stays as it
// is.
func Cut(line string) (at time.Time, rest string) {
	found := timeMark.FindStringSubmatchIndex(line[:min(len(line), timeWithin)])
	if found == nil || found[2] < 0 {
		return time.Time{}, line
	}
	if at = parsed(line[found[2]:found[3]]); at.IsZero() {
		return at, line
	}
	return at, strings.TrimLeft(line[found[3]:], " \t])")
}

// TimeOf is the time that a line says it is of; zero: it says none.
func TimeOf(line string) time.Time {
	found := timeMark.FindStringSubmatch(line[:min(len(line), timeWithin)])
	if found == nil {
		return time.Time{}
	}
	return parsed(found[1] + found[2])
}

func parsed(text string) time.Time {
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
