package config

import (
	"encoding/json"
	"strings"
)

// Sources tells for each key where its value came from.
//
// A nil *Sources is that of a Config made in code: all is default.
type Sources struct {
	// byKey has an entry for each key with a value that is not a default, each
	// variable ("gateway.env.NAME"), each item of a list in a file
	// ("gateway.ready.status[0]") and each section that a file has.
	byKey map[string]Source
	// file is the start of the file; zero: there is none.
	file Source
}

// Of is the source of a key's value. The key is dotted; "gateway.env.NAME" is
// one variable, "gateway.ready.status[0]" one item of a list.
func (s *Sources) Of(key string) Source {
	if s == nil {
		return Source{Origin: OriginDefault}
	}
	for {
		if src, ok := s.byKey[key]; ok {
			return src
		}
		// What has no place of its own within a list is where the item is, or
		// the list.
		if !strings.Contains(key, "[") {
			return Source{Origin: OriginDefault}
		}
		key = key[:strings.LastIndexAny(key, ".[")]
	}
}

// MarshalJSON gives an object from key to source, defaults left out.
func (s *Sources) MarshalJSON() ([]byte, error) {
	leafs := map[string]Source{}
	for key, src := range s.byKey {
		if s.isValue(key) {
			leafs[key] = src
		}
	}
	return json.Marshal(leafs)
}

// isValue tells a key from a section and from an item of a list.
func (s *Sources) isValue(key string) bool {
	if k, ok := leaves()[key]; ok {
		return k.Kind != KindVariables
	}
	_, ok := variableName(key)
	return ok
}

// near is where a problem with a key is best shown: at its value if a person
// chose it, else at the innermost section of the file that it would belong in.
func (s *Sources) near(key string) Source {
	src := s.Of(key)
	if src.chosen() || s == nil {
		return src
	}
	for {
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			break
		}
		key = key[:i]
		if section, ok := s.byKey[key]; ok && section.Origin == OriginFile {
			return section
		}
	}
	if s.file.Origin == OriginFile {
		return s.file
	}
	return src
}

// variablesKey is the key whose entries have sources of their own.
const variablesKey = "gateway.env"

// variableName takes NAME from "gateway.env.NAME".
func variableName(key string) (string, bool) {
	return strings.CutPrefix(key, variablesKey+".")
}

// setting is a value that one source gives to one key.
type setting struct {
	key    *Key
	value  any
	source Source
	// parts are the sources of the items of a list ("gateway.state[0]") and of
	// variables ("gateway.env.NAME").
	parts map[string]Source
}

// apply puts a setting into the configuration. Variables are added to those of
// weaker sources, everything else takes their place.
func (s *Sources) apply(cfg *Config, set setting) {
	if set.key.Kind == KindVariables {
		merged := map[string]string{}
		for name, value := range cfg.Gateway.Env {
			merged[name] = value
		}
		for name, value := range set.value.(map[string]string) {
			merged[name] = value
		}
		set.value = merged
	} else {
		// Where items of a replaced list stood says nothing about the new ones.
		for key := range s.byKey {
			if strings.HasPrefix(key, set.key.Path+"[") {
				delete(s.byKey, key)
			}
		}
	}
	set.key.set(cfg, set.value)
	s.byKey[set.key.Path] = set.source
	for key, src := range set.parts {
		s.byKey[key] = src
	}
}
