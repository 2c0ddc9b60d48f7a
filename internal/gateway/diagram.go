package gateway

import (
	"fmt"
	"slices"
	"strings"
)

// Diagram prints the rules as a Mermaid state diagram: an arrow per pair of
// states, with what leads from one to the other. Events that change no state are
// left out; see RuleTable.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    direction LR\n    [*] --> " + string(Stopped) + "\n")
	for _, from := range States {
		for _, to := range States {
			var labels []string
			for _, r := range rules {
				if r.from == from && r.to == to && from != to {
					labels = append(labels, r.label())
				}
			}
			if len(labels) > 0 {
				fmt.Fprintf(&b, "    %s --> %s: %s\n", from, to, strings.Join(slices.Compact(labels), "<br/>"))
			}
		}
	}
	return b.String()
}

// RuleTable prints all rules as a Markdown table, in the order in which they are
// tried.
func RuleTable() string {
	var b strings.Builder
	b.WriteString("| In state | on event | if | go to state |\n| --- | --- | --- | --- |\n")
	for _, r := range rules {
		to := string(r.to)
		if r.to == r.from {
			to = "–"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.from, r.on, r.when.name, to)
	}
	return b.String()
}

func (r rule) label() string {
	if r.when.name == "" {
		return string(r.on)
	}
	return fmt.Sprintf("%s [%s]", r.on, r.when.name)
}
