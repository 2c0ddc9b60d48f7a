// Package wording is how creel says things to people: numbers, lengths of time and
// sizes in their units, what stands in a sentence of another part, what an event is
// called and how much it matters. The admin pages and the command line share it, so that
// the two say the same. What programs read (--json, the API) never passes here.
package wording

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Span says a length of time, with what matters of it: "3 d 4 h", "2 min 5 s".
func Span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	days, hours, minutes, seconds := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes >= 10:
		return fmt.Sprintf("%d min", minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, seconds)
	}
	return fmt.Sprintf("%d s", seconds)
}

// Took says how long something took, to two digits or so.
func Took(d time.Duration) string {
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
	return Span(d)
}

func trimZero(s string) string { return strings.TrimSuffix(s, ".0") }

// Ago says how long ago something was, roughly: what changes every second is
// of no use to a reader.
func Ago(d time.Duration) string {
	one := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit + " ago"
		}
		return strconv.Itoa(n) + " " + unit + "s ago"
	}
	switch {
	case d < 0:
		return "in " + Span(-d)
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return one(int(d/(10*time.Second))*10, "second")
	case d < time.Hour:
		return one(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return one(int(d/time.Hour), "hour")
	}
	return one(int(d/(24*time.Hour)), "day")
}

// Size says a number of bytes.
func Size(n int64) string {
	switch {
	case n < 0:
		return "−" + Size(-n)
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// Files says a number of files.
func Files(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return Count(n) + " files"
}

// Count writes a number with a thin space between thousands.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// Plain makes a text for people of a stable word: "exit_code" is "exit code".
func Plain(word string) string { return strings.ReplaceAll(word, "_", " ") }

// Capital begins a text as a sentence. What begins with a name stays as it is:
// creel's, an address, a key of the configuration.
func Capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	first, _, _ := strings.Cut(s, " ")
	if n == 0 || first == "creel" || strings.ContainsAny(strings.TrimRight(first, ".,:;"), "@._/:=0123456789") {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
