package logline

import (
	"regexp"
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

// TimeOf is the time that a line says it is of; zero: it says none.
func TimeOf(line string) time.Time {
	found := timeMark.FindStringSubmatch(line[:min(len(line), timeWithin)])
	if found == nil {
		return time.Time{}
	}
	text := found[1] + found[2]
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700"} {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
