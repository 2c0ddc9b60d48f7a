package cli

import (
	"fmt"

	"creel/internal/gateway"
)

const (
	lastLines = 5   // of its output that are shown of a gateway that was given up
	lineWidth = 200 // how much of each, in characters
)

// givenUp is what a person wants to know of a gateway that was given up, beside why: the
// last lines that it printed, and what to do next.
func givenUp(end *gateway.End) (lines []string, next string) {
	if end == nil {
		return nil, ""
	}
	for _, line := range end.Log[max(0, len(end.Log)-lastLines):] {
		text := []rune(printable(line))
		if len(text) > lineWidth {
			text = append(text[:lineWidth-1], '…')
		}
		lines = append(lines, string(text))
	}
	if end.Hint != "" {
		return lines, end.Hint
	}
	return lines, "`creel logs` shows what it printed; mend the cause, then `creel start`"
}

// didNotComeUp is the error of a command that had the gateway started, and it was given
// up.
func didNotComeUp(end *gateway.End) error {
	if end == nil || end.Hint == "" {
		return fmt.Errorf("the gateway did not come up; see `creel logs` and `creel events`")
	}
	return fmt.Errorf("the gateway did not come up (%s)", end.Hint)
}
