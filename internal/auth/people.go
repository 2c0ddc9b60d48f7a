package auth

import (
	"slices"
	"strings"
)

// people is a list of persons, as the configuration names them: an e-mail address
// or another name, or @domain for all of a domain. Case does not count.
type people []string

func newPeople(list []string) people {
	var p people
	for _, name := range list {
		p = append(p, strings.ToLower(strings.TrimSpace(name)))
	}
	return p
}

// has tells whether a name is on the list.
func (p people) has(name string) bool {
	if name == "" {
		return false
	}
	name = strings.ToLower(name)
	if slices.Contains(p, name) {
		return true
	}
	at := strings.LastIndexByte(name, '@')
	return at > 0 && slices.Contains(p, name[at:])
}
