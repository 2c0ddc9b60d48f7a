package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"creel/internal/config"
)

// object is a JSON object that keeps its order: that of the keys in creel.yaml.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		// Not json.Marshal, which would escape "<" for HTML.
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// schemaFile makes the JSON schema.
func schemaFile(c comments) ([]byte, error) {
	root := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "creel.yaml"},
		{"description", "The configuration of creel."},
	}
	root = append(root, section(c, "", config.Keys())...)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return nil, fmt.Errorf("cannot make the schema: %w", err)
	}
	return b.Bytes(), nil
}

// section describes a mapping whose keys' paths begin with prefix.
func section(c comments, prefix string, keys []config.Key) object {
	var properties object
	for _, k := range keys {
		name, ok := strings.CutPrefix(k.Path, prefix)
		if !ok || strings.ContainsAny(name, ".[") {
			continue
		}
		schema := append(object{{"description", c[k.Field]}}, value(c, k, keys)...)
		properties = append(properties, member{name, schema})
	}
	kind := any("object")
	if prefix != "" && !strings.HasSuffix(prefix, "[].") {
		kind = []string{"object", "null"} // all its keys are commented out
	}
	return object{{"type", kind}, {"properties", properties}, {"additionalProperties", false}}
}

const (
	durationPattern = `^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
	bytesPattern    = `^[0-9]+ ?(B|KiB|MiB|GiB|TiB)?$`
)

// value describes the value of a key.
func value(c comments, k config.Key, keys []config.Key) object {
	text := object{{"type", "string"}}
	var o object
	switch k.Kind {
	case config.KindSection:
		return section(c, k.Path+".", keys)
	case config.KindSectionList:
		items := section(c, k.Path+"[].", keys)
		required := []string{}
		for _, item := range keys {
			if name, ok := strings.CutPrefix(item.Path, k.Path+"[]."); ok && !item.Optional {
				required = append(required, name)
			}
		}
		o = object{{"type", "array"}, {"items", append(items, member{"required", required})}}
	case config.KindText, config.KindPath:
		o = text
		if k.Enum != nil {
			o = object{{"enum", k.Enum}}
		}
	case config.KindInteger:
		o = object{{"type", "integer"}}
	case config.KindBytes:
		o = object{{"oneOf", []object{
			{{"type", "integer"}, {"minimum", 0}},
			{{"type", "string"}, {"pattern", bytesPattern}},
		}}}
	case config.KindDuration:
		o = object{{"oneOf", []object{
			{{"type", "string"}, {"pattern", durationPattern}},
			{{"const", 0}},
		}}}
	case config.KindTexts, config.KindPaths, config.KindCommand:
		if k.Enum != nil {
			text = object{{"enum", k.Enum}}
		}
		o = object{{"type", "array"}, {"items", text}}
	case config.KindIntegers:
		o = object{{"type", "array"}, {"items", object{{"type", "integer"}}}}
	case config.KindVariables:
		return object{{"type", "object"}, {"additionalProperties", object{{"type", []string{"string", "number", "boolean"}}}}}
	default:
		panic("gen: no schema for keys of kind " + string(k.Kind))
	}
	// The default of data_dir depends on the user; keys of items have none.
	if k.Path != "data_dir" && !strings.Contains(k.Path, "[") {
		defaults := config.Defaults()
		o = append(o, member{"default", k.Shown(&defaults)})
	}
	return o
}
