package ui

import (
	"html/template"
	"regexp"
	"strconv"
	"strings"
	"time"

	"creel/internal/snapshot/store"
)

// What other parts of creel say is made for a terminal and for programs, too: numbers
// of bytes as they are, durations to the microsecond, commands in back-quotes, times in
// UTC. Here it is made fit for a page.

var (
	// bytesIn finds "1692703 bytes", and "48213 added to the store"; fewer than 10000 are
	// read as easily as they are.
	bytesIn = regexp.MustCompile(`\b(?:\d{5,18} bytes|\d{1,18} added to the store)\b`)
	// filesIn finds "12 with 1692703", which is of files and bytes.
	filesIn = regexp.MustCompile(`\bhad (\d{1,18}) with (\d{1,18})\b`)
	// durationIn finds a duration as Go writes it.
	durationIn = regexp.MustCompile(`(^|[\s(])((?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?(?:s|ms|µs|ns))|\d+h\d+m|\d+m0s)([\s.,;:)]|$)`)
	// timeIn finds a time (RFC 3339).
	timeIn = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`)
)

// human writes the numbers of a text as people do.
func human(text string) string {
	text = bytesIn.ReplaceAllStringFunc(text, func(found string) string {
		digits, rest, _ := strings.Cut(found, " ")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return found
		}
		return strings.TrimSuffix(size(n)+" "+rest, " bytes")
	})
	text = filesIn.ReplaceAllStringFunc(text, func(found string) string {
		m := filesIn.FindStringSubmatch(found)
		files, err := strconv.ParseInt(m[1], 10, 64)
		bytes, err2 := strconv.ParseInt(m[2], 10, 64)
		if err != nil || err2 != nil {
			return found
		}
		return "had " + fileCount(files) + " with " + size(bytes)
	})
	text = durationIn.ReplaceAllStringFunc(text, func(found string) string {
		m := durationIn.FindStringSubmatch(found)
		d, err := time.ParseDuration(m[2])
		if err != nil {
			return found
		}
		return m[1] + took(d) + m[3]
	})
	return timeIn.ReplaceAllStringFunc(text, func(found string) string {
		t, err := time.Parse(time.RFC3339, found)
		if err != nil {
			return found
		}
		return t.Local().Format("2 Jan 2006, 15:04:05")
	})
}

// took says how long something took, to two digits or so.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "less than 1 ms"
	case d < 10*time.Millisecond:
		return trimZero(strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64)) + " ms"
	case d < 999500*time.Microsecond:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	case d < 9950*time.Millisecond:
		return trimZero(strconv.FormatFloat(d.Seconds(), 'f', 1, 64)) + " s"
	case d%time.Hour == 0 && d < 24*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d%time.Minute == 0 && d < time.Hour:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return span(d)
}

func trimZero(s string) string { return strings.TrimSuffix(s, ".0") }

// prose makes a text fit for a page: with human numbers, and what stands in back-quotes
// as code.
func prose(text string) template.HTML {
	var b strings.Builder
	for i, part := range quoted(text) {
		if i%2 == 1 {
			b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
			continue
		}
		b.WriteString(template.HTMLEscapeString(human(part)))
	}
	return template.HTML(b.String()) // all of it is escaped
}

// quoted cuts a text at its back-quotes: every other part stood between two. One
// without a partner stays.
func quoted(text string) []string {
	parts := strings.Split(text, "`")
	if n := len(parts); n%2 == 0 {
		parts = append(parts[:n-2], parts[n-2]+"`"+parts[n-1])
	}
	return parts
}

// spoken is a text where there is no markup: in an attribute, or read out.
func spoken(text string) string {
	parts := quoted(text)
	for i := 0; i < len(parts); i += 2 {
		parts[i] = human(parts[i])
	}
	return strings.Join(parts, "")
}

// detail says what else an event knows, by the name of its field. An empty one is not
// shown: it is said elsewhere, or is an id that helps nobody who reads a page.
func detail(name string, value any) string {
	switch name {
	case "snapshot", "generation", "session", "token", "passkey", "lineage", "method":
		return ""
	case "requests_cut":
		if shownValue(value) == "0" {
			return ""
		}
	case "device":
		return "device " + clip(shownValue(value), 8)
	case "pid":
		return "process " + shownValue(value)
	case "address":
		return "from " + shownValue(value)
	case "agent":
		return browserOf(shownValue(value))
	case "reason":
		return "why: " + reasonWords(store.Reason(shownValue(value)))
	case "stage":
		return "while: " + plain(shownValue(value))
	}
	if what, ok := strings.CutSuffix(name, "seconds"); ok {
		if seconds, err := strconv.ParseFloat(shownValue(value), 64); err == nil {
			d := took(time.Duration(seconds * float64(time.Second)))
			if what == "" {
				return "it took " + d
			}
			return plain(strings.TrimSuffix(what, "_")) + " for " + d
		}
	}
	return plain(name) + ": " + shownValue(value)
}
