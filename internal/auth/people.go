package auth

import (
	"slices"
	"strings"
)

// people says who may do what of those whom somebody else vouches for: an OpenID
// Connect provider, Cloudflare Access, a reverse proxy. It is one rule for all of
// them:
//
//   - What is said of a person by name counts before what is said of their group, and
//     that before what is said of their domain; others is for whoever nothing is said of.
//   - Whoever is on both lists by name, or by domain, is a reader: that is a mistake in
//     the lists, and the lesser right does less harm.
//   - Whoever is in a group of owners and in one of readers is an owner: groups add up,
//     as those who may do more are mostly also in the group of all who may do anything.
type people struct {
	owners, readers list
	others          []Scope // nil: nothing at all
}

// scopes are what a person may do; nil: nothing at all. The name may be an e-mail
// address that is known to be theirs; groups are what the provider says.
func (p *people) scopes(name string, groups []string) []Scope {
	switch {
	case p.readers.names(name):
		return ReaderScopes
	case p.owners.names(name):
		return OwnerScopes
	case p.owners.hasGroup(groups):
		return OwnerScopes
	case p.readers.hasGroup(groups):
		return ReaderScopes
	case p.readers.hasDomain(name):
		return ReaderScopes
	case p.owners.hasDomain(name):
		return OwnerScopes
	}
	return p.others
}

// list is a list of persons as the configuration names them: an e-mail address or
// another name, or @domain for all of a domain, of which case does not count; and
// groups, of which it does, as the provider writes them.
type list struct {
	people []string // in small letters
	groups []string
}

func newList(people []string, groups ...string) list {
	l := list{groups: groups}
	for _, name := range people {
		l.people = append(l.people, strings.ToLower(strings.TrimSpace(name)))
	}
	return l
}

func (l *list) names(name string) bool {
	return name != "" && !strings.HasPrefix(name, "@") && slices.Contains(l.people, strings.ToLower(name))
}

func (l *list) hasDomain(name string) bool {
	at := strings.LastIndexByte(name, '@')
	return at > 0 && slices.Contains(l.people, strings.ToLower(name[at:]))
}

func (l *list) hasGroup(groups []string) bool {
	return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(l.groups, g) })
}
