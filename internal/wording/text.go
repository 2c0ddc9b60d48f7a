package wording

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What other parts of creel say is made for programs, too: numbers of bytes as they are,
// durations to the microsecond, times in UTC.

var (
	// bytesIn finds "1692703 bytes", and "48213 added to the store"; fewer than 10000 are
	// read as easily as they are.
	bytesIn = regexp.MustCompile(`\b(?:\d{5,18} bytes|\d{1,18} added to the store)\b`)
	// oneIn finds "1 files".
	oneIn = regexp.MustCompile(`(^|[\s(])1 (file|folder|byte)s\b`)
	// filesIn finds "12 with 1692703", which is of files and bytes.
	filesIn = regexp.MustCompile(`\bhad (\d{1,18}) with (\d{1,18})\b`)
	// durationIn finds a duration as Go writes it.
	durationIn = regexp.MustCompile(`(^|[\s(])((?:\d+h)?(?:\d+m)?(?:\d+(?:\.\d+)?(?:s|ms|µs|ns))|\d+h\d+m|\d+m0s)([\s.,;:)]|$)`)
	// timeIn finds a time (RFC 3339).
	timeIn = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)`)
)

// Numbers writes the numbers of a text as people do.
func Numbers(text string) string {
	text = bytesIn.ReplaceAllStringFunc(text, func(found string) string {
		digits, rest, _ := strings.Cut(found, " ")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return found
		}
		return strings.TrimSuffix(Size(n)+" "+rest, " bytes")
	})
	text = oneIn.ReplaceAllString(text, "${1}1 $2")
	text = filesIn.ReplaceAllStringFunc(text, func(found string) string {
		m := filesIn.FindStringSubmatch(found)
		files, err := strconv.ParseInt(m[1], 10, 64)
		bytes, err2 := strconv.ParseInt(m[2], 10, 64)
		if err != nil || err2 != nil {
			return found
		}
		return "had " + Files(files) + " with " + Size(bytes)
	})
	text = durationIn.ReplaceAllStringFunc(text, func(found string) string {
		m := durationIn.FindStringSubmatch(found)
		d, err := time.ParseDuration(m[2])
		if err != nil {
			return found
		}
		return m[1] + Took(d) + m[3]
	})
	return timeIn.ReplaceAllStringFunc(text, func(found string) string {
		t, err := time.Parse(time.RFC3339, found)
		if err != nil {
			return found
		}
		return t.Local().Format("2 Jan 2006, 15:04:05")
	})
}

// Spoken is a text with human numbers, but for what stands in back-quotes, which is a
// command and stays as it is; quote takes the place of the quotes.
func Spoken(text, quote string) string {
	parts := Quoted(text)
	for i := 0; i < len(parts); i += 2 {
		parts[i] = Numbers(parts[i])
	}
	return strings.Join(parts, quote)
}

// Quoted cuts a text at its back-quotes: every other part stood between two. One
// without a partner stays.
func Quoted(text string) []string {
	parts := strings.Split(text, "`")
	if n := len(parts); n%2 == 0 {
		parts = append(parts[:n-2], parts[n-2]+"`"+parts[n-1])
	}
	return parts
}
