package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds the values of a file, those that aliases repeat included. The
// fixed shape of the configuration keeps aliases from multiplying without limit;
// this keeps them from multiplying at all.
const maxNodes = 10000

// decoder turns YAML nodes into settings. It goes on after a problem.
type decoder struct {
	*problems
	place    func(*yaml.Node) Source // of a node
	settings []setting
	sections map[string]Source // where each section stands
	nodes    int
}

// decodeDocument reads the settings of a file.
func decodeDocument(d *document, p *problems) ([]setting, map[string]Source) {
	root, problem := d.parse()
	if problem != nil {
		p.addProblem(problem)
		p.failAll()
		return nil, nil
	}
	dec := &decoder{problems: p, place: d.node, sections: map[string]Source{}}
	dec.section(root, "", tree().children, dec.setting)
	return dec.settings, dec.sections
}

// setting reads the value of a key, or the section that it is.
func (d *decoder) setting(k *Key, path string, key, n *yaml.Node) {
	if k.Kind == KindSection {
		d.sections[path] = d.place(key)
		// "proxy:" with everything below it commented out.
		if !isNull(resolve(n)) {
			d.section(n, path, k.children, d.setting)
		}
		return
	}
	set := setting{key: k, source: d.place(n), parts: map[string]Source{}}
	var ok bool
	if set.value, ok = d.value(k, path, n, set.parts); ok {
		d.settings = append(d.settings, set)
	}
}

// section calls each for every known key of a mapping, and refuses the others.
func (d *decoder) section(n *yaml.Node, path string, keys []*Key, each func(k *Key, path string, key, value *yaml.Node)) {
	m := d.enter(n, path)
	if m == nil {
		return
	}
	if m.Kind != yaml.MappingNode {
		d.add(d.place(n), path, "must be a section with keys of its own, not %s", describe(m, true))
		if path == "" {
			d.failAll()
		}
		return
	}
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	d.pairs(m, path, func(name string, key, value *yaml.Node) {
		i := slices.IndexFunc(keys, func(k *Key) bool { return k.name == name })
		if i < 0 {
			hint, meant := suggestKey(prefix, name, keys)
			d.add(d.place(key), prefix+shownName(name), "unknown key%s", hint)
			// The misspelt key is not missing: one problem is enough.
			if meant != "" {
				d.fail(meant)
			}
			return
		}
		k := keys[i]
		if k.Kind != KindSection && isNull(resolve(value)) {
			d.add(d.place(key), prefix+name, "has no value; leave the key out to get the default")
			return
		}
		each(k, prefix+name, key, value)
	})
}

// pairs goes through a mapping, and refuses keys that are no text or that are
// given twice.
func (d *decoder) pairs(m *yaml.Node, path string, each func(name string, key, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		name := resolve(key)
		switch {
		case name.Tag == "!!merge":
			d.add(d.place(key), path, `"<<" (merge) is not supported; write the keys out`)
			continue
		case name.Kind != yaml.ScalarNode || isNull(name) || name.Style&yaml.TaggedStyle != 0:
			d.add(d.place(key), path, "a key must be a text, not %s", describe(name, true))
			continue
		}
		if line, ok := seen[name.Value]; ok {
			d.add(d.place(key), join(path, shownName(name.Value)), "is given twice; the first is in line %d", line)
			continue
		}
		seen[name.Value] = key.Line
		each(name.Value, key, value)
	}
}

// enter follows an alias, counts, and refuses explicit tags, which could only
// contradict the configuration. It does not show the tag: a password that begins
// with "!" is one. Its answer is nil if there is nothing to go on with.
func (d *decoder) enter(n *yaml.Node, path string) *yaml.Node {
	d.nodes++
	if d.nodes > maxNodes {
		if d.nodes == maxNodes+1 {
			d.add(d.place(n), path, "the file has more than %d values, those that aliases repeat included", maxNodes)
		}
		d.fail(path)
		return nil
	}
	v := resolve(n)
	if v.Style&yaml.TaggedStyle != 0 && !slices.Contains([]string{"!!str", "!!seq", "!!map"}, v.Tag) {
		d.add(d.place(n), path, `has a tag ("!…"), which is not supported; put a value that begins with "!" in quotes`)
		return nil
	}
	return v
}

// value reads the value of a key that is no section. parts receives where the
// items of a list, or the variables, stand.
func (d *decoder) value(k *Key, path string, n *yaml.Node, parts map[string]Source) (any, bool) {
	switch k.Kind {
	case KindVariables:
		return d.variables(path, n, parts)
	case KindSectionList:
		return d.sectionList(k, path, n, parts)
	case KindTexts, KindPaths, KindCommand:
		return list[string](d, KindText, path, n, parts)
	case KindIntegers:
		return list[int](d, KindInteger, path, n, parts)
	default:
		return d.scalar(k.Kind, path, n)
	}
}

// scalar reads one text, number, size or duration.
func (d *decoder) scalar(kind Kind, path string, n *yaml.Node) (any, bool) {
	v := d.enter(n, path)
	if v == nil {
		return nil, false
	}
	value, err := parseScalar(kind, v)
	if err != nil {
		d.add(d.place(n), path, "%v", err)
		return nil, false
	}
	return value, true
}

// parseScalar reads a node of a scalar kind.
func parseScalar(kind Kind, v *yaml.Node) (any, error) {
	if v.Kind != yaml.ScalarNode || isNull(v) {
		return nil, fmt.Errorf("must be %s, not %s", kind.example(), describe(v, true))
	}
	switch {
	case (kind == KindText || kind == KindPath) && !isText(v):
		return nil, fmt.Errorf("must be %s, not %s; put it in quotes: %q", kind.example(), describe(v, true), clip(v.Value))
	case kind == KindInteger && isText(v):
		hint := ""
		if _, err := parseInteger(v.Value); err == nil {
			hint = "; remove the quotes"
		}
		return nil, fmt.Errorf("must be %s, not %s%s", kind.example(), describe(v, true), hint)
	}
	return parseText(kind, v.Value)
}

// list reads a list of scalars.
func list[T any](d *decoder, kind Kind, path string, n *yaml.Node, parts map[string]Source) (any, bool) {
	seq := d.sequence(path, n)
	if seq == nil {
		return nil, false
	}
	items, before := make([]T, 0, len(seq.Content)), d.count()
	for i, item := range seq.Content {
		key := fmt.Sprintf("%s[%d]", path, i)
		v, ok := d.scalar(kind, key, item)
		if !ok {
			continue
		}
		items = append(items, reflect.ValueOf(v).Convert(reflect.TypeFor[T]()).Interface().(T))
		parts[key] = d.place(item)
	}
	return items, d.complete(path, before)
}

// complete tells whether a list was read without a problem. An incomplete one
// must not be used: to run a command without one of its arguments is worse than
// not to run it.
func (d *decoder) complete(path string, before int) bool {
	if d.count() > before {
		d.fail(path)
	}
	return !d.failed[path]
}

// sequence checks that a value is a list.
func (d *decoder) sequence(path string, n *yaml.Node) *yaml.Node {
	seq := d.enter(n, path)
	if seq == nil {
		return nil
	}
	if seq.Kind != yaml.SequenceNode {
		d.add(d.place(n), path, "must be a list, such as [a, b], not %s", describe(seq, true))
		return nil
	}
	return seq
}

// sectionList reads a list whose items have keys.
func (d *decoder) sectionList(k *Key, path string, n *yaml.Node, parts map[string]Source) (any, bool) {
	seq := d.sequence(path, n)
	if seq == nil {
		return nil, false
	}
	t := reflect.TypeFor[Config]().FieldByIndex(k.index).Type
	items, before := reflect.MakeSlice(t, 0, len(seq.Content)), d.count()
	for i, node := range seq.Content {
		item := reflect.New(t.Elem()).Elem()
		at := fmt.Sprintf("%s[%d]", path, i)
		parts[at] = d.place(node)
		d.section(node, at, k.children, func(c *Key, path string, _, n *yaml.Node) {
			if v, ok := d.value(c, path, n, parts); ok {
				f := item.FieldByIndex(c.index)
				f.Set(reflect.ValueOf(v).Convert(f.Type()))
				parts[path] = d.place(n)
			}
		})
		items = reflect.Append(items, item)
	}
	return items.Interface(), d.complete(path, before)
}

// variables reads names and values. A value is any scalar, taken as it is
// written: "DEBUG: 1" means what it seems to. No value is ever quoted in a
// problem.
func (d *decoder) variables(path string, n *yaml.Node, parts map[string]Source) (any, bool) {
	m := d.enter(n, path)
	if m == nil {
		return nil, false
	}
	if m.Kind != yaml.MappingNode {
		d.add(d.place(n), path, "must be names and values, such as NAME: value, not %s", describe(m, false))
		return nil, false
	}
	vars := map[string]string{}
	d.pairs(m, path, func(name string, key, value *yaml.Node) {
		at := join(path, shownName(name))
		v := d.enter(value, at)
		switch {
		case v == nil:
		case strings.Contains(name, "="):
			d.add(d.place(key), at, `a name cannot have "="; write NAME: value`)
		case isNull(v):
			d.add(d.place(key), at, `has no value; write "" for an empty one`)
		case v.Kind != yaml.ScalarNode:
			d.add(d.place(value), at, "must be a text, not %s", describe(v, false))
		default:
			vars[name] = v.Value
			parts[at] = d.place(value)
		}
	})
	return vars, true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// resolve follows an alias. YAML has no alias of an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// isText tells whether a scalar is a text. A date is one: only YAML 1.1 knew
// better.
func isText(n *yaml.Node) bool {
	return n.Tag == "!!str" || n.Tag == "!!timestamp"
}

// describe says what a node is; with its value, if it may be shown.
func describe(n *yaml.Node, show bool) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	kind := map[string]string{"!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!null": "empty"}[n.Tag]
	if kind == "" {
		kind = "a text"
	}
	if !show || isNull(n) {
		return kind
	}
	return fmt.Sprintf("%s (%s)", kind, clip(n.Value))
}

// shownName is the name of a variable as far as it may be shown: in
// "NAME=secret", where a ":" was meant, the value is part of the key.
func shownName(name string) string {
	name, _, _ = strings.Cut(name, "=")
	return clip(name)
}

// clip shortens what is shown of a value.
func clip(s string) string {
	const most = 60
	s = strings.ToValidUTF8(s, "�")
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7F || r == 0x85 || r == 0x2028 || r == 0x2029 }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
