package config

import (
	"encoding/json"
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// sectionsOf is the list of sections that a value is; ok is false if it is none.
func sectionsOf(v any) (list reflect.Value, ok bool) {
	list = reflect.ValueOf(v)
	return list, list.Kind() == reflect.Slice && list.Type().Elem().Kind() == reflect.Struct
}

// sectionMembers calls each for the keys of an item that are set, in order.
func sectionMembers(item reflect.Value, each func(name string, value any)) {
	for i := range item.NumField() {
		if f := item.Field(i); !isEmptyValue(f.Interface()) {
			each(item.Type().Field(i).Tag.Get("yaml"), f.Interface())
		}
	}
}

// formatSections shows a list of sections in one line, without the keys that are
// not set.
func formatSections(list reflect.Value) string {
	items := make([]json.RawMessage, list.Len())
	for i := range items {
		text := "{"
		sectionMembers(list.Index(i), func(name string, value any) {
			if text != "{" {
				text += ","
			}
			text += formatJSON(name) + ":" + formatJSON(value)
		})
		items[i] = json.RawMessage(text + "}")
	}
	return formatJSON(items)
}

// renderSections is the same as a YAML node.
func renderSections(list reflect.Value) []*yaml.Node {
	var nodes []*yaml.Node
	for i := range list.Len() {
		m := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		sectionMembers(list.Index(i), func(name string, value any) {
			node := &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(value)}
			switch v := value.(type) {
			case string:
				node = textNode(v)
			case []string:
				node = &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
				for _, s := range v {
					node.Content = append(node.Content, textNode(s))
				}
			}
			m.Content = append(m.Content, textNode(name), node)
		})
		nodes = append(nodes, m)
	}
	return nodes
}

// absoluteSections makes the paths in a list of sections absolute, each by one.
func absoluteSections(k *Key, cfg *Config, one func(key, path string) string) {
	list := k.field(cfg)
	if list.Len() == 0 {
		return
	}
	made := reflect.MakeSlice(list.Type(), list.Len(), list.Len()) // the caller's list may be shared
	reflect.Copy(made, list)
	for i := range made.Len() {
		for _, c := range k.children {
			if c.Kind == KindPath {
				f := made.Index(i).FieldByIndex(c.index)
				f.SetString(one(fmt.Sprintf("%s[%d].%s", k.Path, i, c.name), f.String()))
			}
		}
	}
	list.Set(made)
}
