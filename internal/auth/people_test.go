package auth

import (
	"slices"
	"testing"

	"creel/internal/config"
)

// TestPeople: one rule says who is an owner and who a reader, whoever vouches for them.
func TestPeople(t *testing.T) {
	p := people{
		owners:  newList([]string{"anna@example.org", "Both@example.org", "@owners.example", "@shared.example"}, "captains"),
		readers: newList([]string{"bob@owners.example", "both@example.org", "@readers.example", "@shared.example", "crew"}, "crew"),
	}
	for _, row := range []struct {
		what, name string
		groups     []string
		want       []Scope
	}{
		{"an owner by name", "Anna@Example.org", nil, OwnerScopes},
		{"a reader by name in a domain of owners", "bob@owners.example", nil, ReaderScopes},
		{"a reader by name in a group of owners", "bob@owners.example", []string{"captains"}, ReaderScopes},
		{"an owner by name in a group of readers", "anna@example.org", []string{"crew"}, OwnerScopes},
		{"on both lists by name", "both@example.org", nil, ReaderScopes},
		{"on both lists by domain", "x@shared.example", nil, ReaderScopes},
		{"in a group of owners and one of readers", "x@example.org", []string{"crew", "captains"}, OwnerScopes},
		{"in a group of owners and a domain of readers", "x@readers.example", []string{"captains"}, OwnerScopes},
		{"in a group of readers and a domain of owners", "x@owners.example", []string{"crew"}, ReaderScopes},
		{"a group whose name differs by case", "x@example.org", []string{"Crew"}, nil},
		{"a domain of owners", "x@owners.example", nil, OwnerScopes},
		{"a domain of readers", "x@readers.example", nil, ReaderScopes},
		{"a domain that only ends alike", "x@notowners.example", nil, nil},
		{"an address within an address", "anna@example.org@evil.example", nil, nil},
		{"a domain for a name", "@owners.example", nil, nil},
		{"a group's name for a name", "captains", nil, nil},
		{"a stranger", "mallory@example.com", []string{"pirates"}, nil},
		{"nobody", "", nil, nil},
		{"nobody in a group", "", []string{"crew"}, ReaderScopes},
	} {
		if got := p.scopes(row.name, row.groups); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.what, got, row.want)
		}
	}
	// Where nothing is said, whoever vouches for a person has said it.
	p.others = OwnerScopes
	if got := p.scopes("mallory@example.com", nil); !slices.Equal(got, OwnerScopes) {
		t.Errorf("the others: %v", got)
	}
}

// TestPeopleOfAll: OpenID Connect, Access and a reverse proxy's header go by that rule.
func TestPeopleOfAll(t *testing.T) {
	o, err := newOIDC(config.AuthOIDC{Emails: []string{"anna@all.example"}, Domains: []string{"all.example"}, Groups: []string{"captains"}, Readers: []string{"bob@all.example", "@readers.example", "crew"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	access := newAccess(config.AuthAccess{TeamDomain: "fish", Readers: []string{"bob@all.example", "@readers.example"}}, nil, nil)
	header, err := newHeader(config.AuthHeader{Name: "remote-user", From: []string{"127.0.0.1"}, Owners: []string{"anna@all.example", "@all.example"}, Readers: []string{"bob@all.example", "@readers.example"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]Scope{
		"anna@all.example": OwnerScopes, "x@all.example": OwnerScopes, "bob@all.example": ReaderScopes, "x@readers.example": ReaderScopes,
	} {
		for what, p := range map[string]*people{"oidc": &o.people, "access": &access.people, "header": &header.people} {
			if got := p.scopes(name, nil); !slices.Equal(got, want) {
				t.Errorf("%s: %s: %v", what, name, got)
			}
		}
	}
	for what, row := range map[string]struct {
		p    *people
		want []Scope
	}{"oidc": {&o.people, nil}, "access": {&access.people, OwnerScopes}, "header": {&header.people, nil}} {
		if got := row.p.scopes("mallory@example.com", nil); !slices.Equal(got, row.want) {
			t.Errorf("%s: somebody of whom nothing is said: %v", what, got)
		}
	}
	open, err := newHeader(config.AuthHeader{Name: "remote-user", From: []string{"127.0.0.1"}, Readers: []string{"bob"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(open.people.scopes("bob", nil), ReaderScopes) || !slices.Equal(open.people.scopes("anna", nil), OwnerScopes) {
		t.Error("without owners in auth.header everybody is one but the readers")
	}
}
