package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// example says what a value of a scalar kind looks like.
func (kind Kind) example() string {
	switch kind {
	case KindInteger:
		return "a whole number, such as 8080"
	case KindBytes:
		return `a number of bytes, such as 65536 or "64KiB"`
	case KindDuration:
		return `a duration, such as "30s" or "1m30s"`
	case KindPath:
		return "a path"
	}
	return "a text"
}

// parseText reads a value of a scalar kind from text. Its answer is a string, an
// int64 or a time.Duration; its error says what is wrong with the text, not with
// which key.
func parseText(kind Kind, text string) (any, error) {
	switch kind {
	case KindInteger:
		return parseInteger(text)
	case KindBytes:
		return parseBytes(text)
	case KindDuration:
		return parseDuration(text)
	}
	return text, nil
}

func parseInteger(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("%s is too large", clip(text))
	case err != nil:
		return 0, fmt.Errorf("must be %s, in decimal, not %q", KindInteger.example(), clip(text))
	}
	return n, nil
}

// byteUnits are powers of 1024. KB and MB are refused: they stand for powers of
// 1000 as well (IEC 80000-13), and a wrong guess would go unnoticed.
var byteUnits = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

var bytesPattern = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)

// parseBytes reads "65536" or "64KiB".
func parseBytes(text string) (int64, error) {
	m := bytesPattern.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("must be %s, not %q", KindBytes.example(), clip(text))
	}
	unit, ok := byteUnits[m[2]]
	if !ok {
		hint := "KiB, MiB, GiB or TiB"
		if letter := strings.ToUpper(m[2][:1]); strings.Contains("KMGT", letter) {
			hint = fmt.Sprintf("%q", clip(m[1]+letter+"iB"))
		}
		return 0, fmt.Errorf("%q has a unit that is not known; write %s", clip(text), hint)
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || n > math.MaxInt64/unit {
		return 0, fmt.Errorf("%s is too large", clip(text))
	}
	return n * unit, nil
}

var (
	plainNumber = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	inDays      = regexp.MustCompile(`^([0-9]{1,5})d$`)
)

// parseDuration reads what time.ParseDuration does, but nothing below zero. The
// only number that needs no unit is 0.
func parseDuration(text string) (time.Duration, error) {
	if m := inDays.FindStringSubmatch(text); m != nil {
		days, err := strconv.Atoi(m[1])
		if err == nil {
			return 0, fmt.Errorf(`%q: there is no unit for days; write "%dh"`, text, days*24)
		}
	}
	d, err := time.ParseDuration(text)
	switch {
	case err == nil && d < 0:
		return 0, fmt.Errorf("%q must not be negative", clip(text))
	case err == nil:
		return d, nil
	case plainNumber.MatchString(text):
		return 0, fmt.Errorf(`%s needs a unit; if seconds are meant, write "%ss"`, clip(text), clip(text))
	}
	return 0, fmt.Errorf("must be %s, not %q; the units are ms, s, m and h", KindDuration.example(), clip(text))
}

// formatDuration is time.Duration.String without zeros at the end: "2m", not
// "2m0s".
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// formatBytes uses the largest unit that leaves a whole number.
func formatBytes(n int64) string {
	for _, name := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if unit := byteUnits[name]; n >= unit && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + name
		}
	}
	return strconv.FormatInt(n, 10)
}
