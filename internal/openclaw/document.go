package openclaw

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// document is JSON with comments and trailing commas, kept byte for byte: a
// change touches the value that it changes and nothing else. Other forms of JSON5
// are rewritten as that when they are read.
type document struct {
	root *hujson.Value
}

// newDocument is an empty object, to be written with two spaces of indent, as
// OpenClaw writes it.
func newDocument() document {
	return document{root: &hujson.Value{Value: &hujson.Object{AfterExtra: hujson.Extra("\n")}, AfterExtra: hujson.Extra("\n")}}
}

var (
	errNotObject = errors.New("the whole is not an object")
	errNotString = errors.New("not a string")
)

// parseDocument reads a file. The error names line and column.
func parseDocument(b []byte) (document, error) {
	// A byte order mark is no JSON (RFC 8259 section 8.1), but editors write it
	// and OpenClaw's reader skips it.
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	// The parser wants every comment's line to end.
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(slices.Clone(b), '\n')
	}
	v, err := hujson.Parse(b)
	if err != nil {
		// OpenClaw reads JSON5, of which this is a part.
		if b, err = fromJSON5(b); err != nil {
			return document{}, err
		}
		if v, err = hujson.Parse(b); err != nil {
			return document{}, err
		}
	}
	if _, ok := v.Value.(*hujson.Object); !ok {
		return document{}, errNotObject
	}
	return document{root: &v}, nil
}

func (d document) bytes() []byte { return d.root.Pack() }

// set makes the value at path equal to value, which is any value that
// encoding/json can write, and reports whether it was not.
func (d document) set(path []string, value any) (bool, error) {
	parent, err := d.object(path[:len(path)-1], true)
	if err != nil {
		return false, err
	}
	name := path[len(path)-1]
	member, err := find(parent, name, path)
	if err != nil {
		return false, err
	}
	written, err := writtenValue(value, len(path))
	if err != nil {
		return false, fmt.Errorf("%s: %w", strings.Join(path, "."), err)
	}
	if member == nil {
		insert(parent, len(path), name, written)
		return true, nil
	}
	if sameValue(member.Value, written) {
		return false, nil
	}
	member.Value = written
	return true, nil
}

// remove takes away what is at path, and each object above it that has become
// empty by that, and reports whether there was anything.
func (d document) remove(path []string) (bool, error) {
	parent, err := d.object(path[:len(path)-1], false)
	if err != nil || parent == nil {
		return false, err
	}
	i := slices.IndexFunc(parent.Members, func(m hujson.ObjectMember) bool {
		literal, ok := m.Name.Value.(hujson.Literal)
		return ok && literal.String() == path[len(path)-1]
	})
	if i < 0 {
		return false, nil
	}
	trailing := parent.Members[i].Value.AfterExtra
	parent.Members = slices.Delete(parent.Members, i, i+1)
	if n := len(parent.Members); i == n && n > 0 {
		parent.Members[n-1].Value.AfterExtra = lastExtra(parent.Members[n-1].Value.AfterExtra, trailing)
	}
	if len(parent.Members) == 0 && len(path) > 1 && parent.AfterExtra.IsStandard() {
		_, err = d.remove(path[:len(path)-1])
	}
	return true, err
}

// lastExtra is what follows the value that has become the last: without a comma
// if there was none after the last one before, unless a comment stands there.
func lastExtra(own, trailing hujson.Extra) hujson.Extra {
	if trailing == nil {
		return dropEmpty(own)
	}
	if own == nil {
		return hujson.Extra{}
	}
	return own
}

// add makes sure that the list of strings at path contains items.
func (d document) add(path []string, items []string) (bool, error) {
	if len(items) == 0 {
		return false, nil
	}
	parent, err := d.object(path[:len(path)-1], true)
	if err != nil {
		return false, err
	}
	name := path[len(path)-1]
	member, err := find(parent, name, path)
	if err != nil {
		return false, err
	}
	if member == nil {
		insert(parent, len(path), name, &hujson.Array{})
		member = &parent.Members[len(parent.Members)-1].Value
	}
	list, ok := member.Value.(*hujson.Array)
	if !ok {
		return false, fmt.Errorf("%s is not a list", strings.Join(path, "."))
	}
	changed := false
	for _, item := range items {
		literal := hujson.Literal(marshal(item))
		if slices.ContainsFunc(list.Elements, func(v hujson.ArrayElement) bool { return sameItem(v.Value, literal) }) {
			continue
		}
		appendElement(list, literal)
		changed = true
	}
	return changed, nil
}

// drop takes one string out of the list at path. A list that has become empty by
// that goes, too.
func (d document) drop(path []string, item string) (bool, error) {
	v, err := d.value(path)
	if err != nil || v == nil {
		return false, err
	}
	list, ok := v.Value.(*hujson.Array)
	if !ok {
		return false, nil
	}
	i := slices.IndexFunc(list.Elements, func(v hujson.ArrayElement) bool { return sameItem(v.Value, hujson.Literal(marshal(item))) })
	if i < 0 {
		return false, nil
	}
	trailing := list.Elements[i].AfterExtra
	list.Elements = slices.Delete(list.Elements, i, i+1)
	if n := len(list.Elements); i == n && n > 0 {
		list.Elements[n-1].AfterExtra = lastExtra(list.Elements[n-1].AfterExtra, trailing)
	}
	if len(list.Elements) == 0 && list.AfterExtra.IsStandard() {
		return d.remove(path)
	}
	return true, nil
}

// text returns the string at path. present is false if there is nothing, or
// null. errNotString: there is something else.
func (d document) text(path ...string) (text string, present bool, err error) {
	v, err := d.value(path)
	if err != nil || v == nil {
		return "", false, err
	}
	switch literal, ok := v.Value.(hujson.Literal); {
	case !ok || literal.Kind() != '"' && literal.Kind() != 'n':
		return "", false, fmt.Errorf("%s: %w", strings.Join(path, "."), errNotString)
	case literal.Kind() == 'n':
		return "", false, nil
	default:
		return literal.String(), true, nil
	}
}

// isTrue reports whether the value at path is true.
func (d document) isTrue(path ...string) bool {
	v, err := d.value(path)
	if err != nil || v == nil {
		return false
	}
	literal, ok := v.Value.(hujson.Literal)
	return ok && literal.Kind() == 't'
}

// value is what is at path, or nil.
func (d document) value(path []string) (*hujson.Value, error) {
	parent, err := d.object(path[:len(path)-1], false)
	if err != nil || parent == nil {
		return nil, err
	}
	return find(parent, path[len(path)-1], path)
}

// object is the object at path. If it is not there it is made, or nil is
// returned.
func (d document) object(path []string, create bool) (*hujson.Object, error) {
	obj := d.root.Value.(*hujson.Object) // parseDocument has seen to it
	for i, name := range path {
		member, err := find(obj, name, path[:i+1])
		if err != nil {
			return nil, err
		}
		if member == nil {
			if !create {
				return nil, nil
			}
			insert(obj, i+1, name, &hujson.Object{AfterExtra: lineBreak(i + 1)})
			member = &obj.Members[len(obj.Members)-1].Value
		}
		next, ok := member.Value.(*hujson.Object)
		if !ok {
			return nil, fmt.Errorf("%s is not an object", strings.Join(path[:i+1], "."))
		}
		obj = next
	}
	return obj, nil
}

// find returns the value of a member. A name that appears twice is an error:
// readers differ in which one counts.
func find(obj *hujson.Object, name string, path []string) (*hujson.Value, error) {
	var found *hujson.Value
	for i := range obj.Members {
		m := &obj.Members[i]
		literal, ok := m.Name.Value.(hujson.Literal)
		if !ok || literal.String() != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("%s is there twice", strings.Join(path, "."))
		}
		found = &m.Value
	}
	return found, nil
}

// insert appends a member. depth is how many objects it is inside of.
func insert(obj *hujson.Object, depth int, name string, value hujson.ValueTrimmed) {
	m := hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: lineBreak(depth), Value: hujson.Literal(marshal(name))},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: value},
	}
	if n := len(obj.Members); n > 0 {
		// The break before the sibling is better than a guess, unless there are
		// comments in it.
		if before := obj.Members[n-1].Name.BeforeExtra; before.IsStandard() {
			m.Name.BeforeExtra = slices.Clone(before)
		}
		last := &obj.Members[n-1].Value
		if last.AfterExtra != nil { // a trailing comma, which now separates
			m.Value.AfterExtra, last.AfterExtra = hujson.Extra{}, dropEmpty(last.AfterExtra)
		}
	}
	switch {
	case !obj.AfterExtra.IsStandard():
		// A comment before the closing brace speaks of what is above it.
		m.Name.BeforeExtra = slices.Concat(obj.AfterExtra, hujson.Extra("  "))
		obj.AfterExtra = lineBreak(depth - 1)
	case len(obj.Members) == 0 && len(obj.AfterExtra) == 0:
		obj.AfterExtra = lineBreak(depth - 1)
	}
	obj.Members = append(obj.Members, m)
}

// appendElement appends to a list.
func appendElement(list *hujson.Array, value hujson.ValueTrimmed) {
	e := hujson.ArrayElement{Value: value}
	if n := len(list.Elements); n > 0 {
		e.BeforeExtra = hujson.Extra(" ")
		if before := list.Elements[n-1].BeforeExtra; bytes.ContainsRune(before, '\n') && before.IsStandard() {
			e.BeforeExtra = slices.Clone(before)
		}
		last := &list.Elements[n-1]
		if last.AfterExtra != nil {
			e.AfterExtra, last.AfterExtra = hujson.Extra{}, dropEmpty(last.AfterExtra)
		}
	}
	if !list.AfterExtra.IsStandard() {
		e.BeforeExtra = slices.Concat(list.AfterExtra, hujson.Extra("  "))
		list.AfterExtra = nil
	}
	list.Elements = append(list.Elements, e)
}

// dropEmpty keeps the comments between a value and its comma.
func dropEmpty(e hujson.Extra) hujson.Extra {
	if len(bytes.TrimSpace(e)) == 0 {
		return nil
	}
	return e
}

func lineBreak(depth int) hujson.Extra {
	return hujson.Extra("\n" + strings.Repeat("  ", depth))
}

// writtenValue is a value as it is written at that depth: over several lines if
// it is an object.
func writtenValue(value any, depth int) (hujson.ValueTrimmed, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // addresses have & in them, and people read this
	enc.SetIndent(strings.Repeat("  ", depth), "  ")
	if err := enc.Encode(value); err != nil {
		return nil, err
	}
	v, err := hujson.Parse(b.Bytes())
	if err != nil {
		return nil, err
	}
	return v.Value, nil
}

// canonical is a value without comments, in one line, with its keys in order:
// equal values have equal bytes. Numbers are compared as JavaScript would.
func canonical(v hujson.ValueTrimmed) []byte {
	whole := hujson.Value{Value: v}
	whole = whole.Clone()
	whole.Standardize()
	var decoded any
	if err := json.Unmarshal(whole.Pack(), &decoded); err != nil {
		return whole.Pack() // a number that is none of JavaScript's
	}
	return marshal(decoded)
}

func sameValue(a, b hujson.ValueTrimmed) bool { return bytes.Equal(canonical(a), canonical(b)) }

// sameItem compares two elements of a list of names. 12345 and "12345" are the
// same: OpenClaw takes the identifiers of users in both forms.
func sameItem(a, b hujson.ValueTrimmed) bool {
	return bytes.Equal(bytes.Trim(canonical(a), `"`), bytes.Trim(canonical(b), `"`))
}
