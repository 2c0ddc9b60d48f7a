package moltenv

import (
	"fmt"
	"strings"
)

// VariableError says that a variable has a value that means nothing.
type VariableError struct {
	Name   string
	Reason string // what is wrong; never the value
}

func (e *VariableError) Error() string { return fmt.Sprintf("cannot use %s: %s", e.Name, e.Reason) }

// variables are those that are set, by name. Of a name that comes twice the first
// counts, as with os.Getenv.
type variables map[string]string

func variablesOf(environ []string) variables {
	v := variables{}
	for _, kv := range environ {
		name, value, ok := strings.Cut(kv, "=")
		if _, twice := v[name]; ok && !twice {
			v[name] = strings.TrimSpace(value)
		}
	}
	return v
}

// first is the value of the first of the names that is set, and that name.
func (v variables) first(names ...string) (value, name string) {
	for _, name := range names {
		if v[name] != "" {
			return v[name], name
		}
	}
	return "", ""
}

// list is a value with commas between its items.
func (v variables) list(name string) []string {
	var items []string
	for item := range strings.SplitSeq(v[name], ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}
