package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Render writes the whole configuration as YAML, with a comment behind each
// value that names its source. Apart from the values of variables, which are
// "[redacted]", reading it again gives the same configuration.
func Render(cfg *Config, s *Sources) ([]byte, error) {
	root := renderSection(cfg, s, tree().children)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("cannot write the configuration as YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("cannot write the configuration as YAML: %w", err)
	}
	return b.Bytes(), nil
}

// renderSection makes the mapping of a section's keys.
func renderSection(cfg *Config, s *Sources, keys []*Key) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range keys {
		name := &yaml.Node{Kind: yaml.ScalarNode, Value: k.name}
		var value *yaml.Node
		switch k.Kind {
		case KindSection:
			value = renderSection(cfg, s, k.children)
		case KindVariables:
			value = renderVariables(k, k.value(cfg).(map[string]string), s)
		default:
			value = renderValue(k, k.value(cfg))
			value.LineComment = s.Of(k.Path).String()
		}
		m.Content = append(m.Content, name, value)
	}
	return m
}

func renderVariables(k *Key, vars map[string]string, s *Sources) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	if len(vars) == 0 {
		m.Style = yaml.FlowStyle
		m.LineComment = s.Of(k.Path).String()
	}
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		value := textNode(redacted)
		value.LineComment = s.Of(k.Path + "." + name).String()
		m.Content = append(m.Content, textNode(name), value)
	}
	return m
}

// renderValue makes a scalar, or a list in one line: there is one comment for
// it.
func renderValue(k *Key, v any) *yaml.Node {
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	switch v := v.(type) {
	case []string:
		for _, item := range v {
			list.Content = append(list.Content, textNode(item))
		}
		return list
	case []int:
		for _, item := range v {
			list.Content = append(list.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprint(item)})
		}
		return list
	case string:
		return textNode(v)
	}
	if sections, ok := sectionsOf(v); ok {
		list.Content = renderSections(sections)
		return list
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: format(k, v)}
}

// textNode is a string in one line: the comment that follows would end up inside
// a block of several.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
	if strings.ContainsAny(s, "\n\r\u0085\u2028\u2029") {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// RenderJSON writes {"config": …, "sources": …}. The first has the shape of
// creel.yaml, with durations and sizes as in Render; the second has an entry for
// each key that is not a default.
func RenderJSON(cfg *Config, s *Sources) ([]byte, error) {
	if s == nil {
		s = &Sources{}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(struct {
		Config  map[string]any `json:"config"`
		Sources *Sources       `json:"sources"`
	}{plain(cfg, tree().children), s})
	if err != nil {
		return nil, fmt.Errorf("cannot write the configuration as JSON: %w", err)
	}
	return b.Bytes(), nil
}

// plain makes maps, lists, texts and numbers of a section, fit to be shown.
func plain(cfg *Config, keys []*Key) map[string]any {
	m := map[string]any{}
	for _, k := range keys {
		if k.Kind == KindSection {
			m[k.name] = plain(cfg, k.children)
		} else {
			m[k.name] = k.Shown(cfg)
		}
	}
	return m
}

// Shown is the key's value in cfg as it may be shown, fit for encoding/json:
// durations and sizes are texts, as in Render, and the values of variables are
// "[redacted]". The key must not be a section, nor within a list of sections.
func (k *Key) Shown(cfg *Config) any {
	switch k.Kind {
	case KindVariables:
		return redact(k.value(cfg).(map[string]string))
	case KindDuration, KindBytes:
		return format(k, k.value(cfg))
	case KindText, KindPath, KindInteger:
		return k.value(cfg)
	}
	return json.RawMessage(format(k, k.value(cfg)))
}

func redact(vars map[string]string) map[string]string {
	shown := make(map[string]string, len(vars))
	for name := range vars {
		shown[name] = redacted
	}
	return shown
}

// LogValue keeps the values of variables out of logs.
func (c Config) LogValue() slog.Value {
	return slog.AnyValue(plain(&c, tree().children))
}

// LogValue keeps the values of variables out of logs.
func (g Gateway) LogValue() slog.Value {
	return slog.AnyValue(plain(&Config{Gateway: g}, tree().children)["gateway"])
}
