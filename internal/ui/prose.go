package ui

import (
	"html/template"
	"strconv"
	"strings"
	"time"

	"creel/internal/snapshot/store"
	"creel/internal/wording"
)

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

// spoken is a text where there is no markup: in an attribute, or read out.
func spoken(text string) string { return wording.Spoken(text, "") }

// detail says what else an event knows, by the name of its field. An empty one is not
// shown: it is said elsewhere, or is an id that helps nobody who reads a page.
func detail(name string, value any) string {
	switch name {
	case "snapshot", "generation", "session", "token", "token_id", "passkey", "lineage", "method":
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
