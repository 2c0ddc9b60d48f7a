package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
)

// Kind is how the value of a key is written.
type Kind string

// The kinds.
const (
	KindSection     Kind = "section"          // keys of its own
	KindText        Kind = "text"             // one string
	KindPath        Kind = "path"             // a file name; made absolute by Load
	KindInteger     Kind = "integer"          // decimal, without a unit
	KindBytes       Kind = "bytes"            // 65536 or "64KiB"
	KindDuration    Kind = "duration"         // "1m30s"
	KindCommand     Kind = "command"          // a program and its arguments
	KindTexts       Kind = "list of texts"    // ["a", "b"]
	KindPaths       Kind = "list of paths"    // likewise; made absolute by Load
	KindIntegers    Kind = "list of integers" // [200, 204]
	KindVariables   Kind = "variables"        // names of environment variables, with their values
	KindSectionList Kind = "list of sections" // each item has the keys that follow it in Keys, as "path[].key"
)

// Needs is what has to happen before a changed value counts.
type Needs string

// What a change needs.
const (
	NeedsNothing        Needs = "live"            // it counts as soon as it is loaded
	NeedsGatewayRestart Needs = "gateway restart" // the instance runs with the old value until it is restarted
	NeedsCreelUpgrade   Needs = "creel upgrade"   // creel itself works with the old value until it is replaced, which no request notices
	NeedsCreelRestart   Needs = "creel restart"   // creel works with the old value until it, and the gateway with it, was stopped and started again
)

// envPrefix begins the name of every environment variable that is creel's.
const envPrefix = "CREEL_"

// Key is one key of the configuration.
type Key struct {
	Path  string   // dotted, such as "gateway.ready.timeout"
	Kind  Kind     // how its value is written
	Enum  []string // the words allowed; nil: any
	Needs Needs    // empty for a section
	Env   string   // its environment variable; for KindVariables what the variable's name begins with; empty: it has none
	Field string   // the struct field that it is, as "Ready.Timeout"
	// Optional: an item of a list may leave it out.
	Optional bool

	name     string // last part of Path
	index    []int  // of the field, from Config; in a KindSectionList's child, from the item
	children []*Key // of a section or a list of sections
}

// Keys lists all keys in the order of the structs, each section before what is
// in it. The slice is the caller's.
func Keys() []Key {
	var list []Key
	var walk func([]*Key)
	walk = func(keys []*Key) {
		for _, k := range keys {
			list = append(list, *k)
			walk(k.children)
		}
	}
	walk(tree().children)
	return list
}

// tree is the root section, whose children are the top-level keys.
var tree = sync.OnceValue(func() *Key {
	t := reflect.TypeFor[Config]()
	return &Key{Kind: KindSection, children: keysOf(t, "", nil)}
})

// leaves maps the dotted path of each key that has a value to the key.
var leaves = sync.OnceValue(func() map[string]*Key {
	m := map[string]*Key{}
	var walk func(*Key)
	walk = func(k *Key) {
		if k.Kind != KindSection {
			m[k.Path] = k
			return
		}
		for _, c := range k.children {
			walk(c)
		}
	}
	walk(tree())
	return m
})

// ordered lists the keys that have a value, in the order of the structs.
var ordered = sync.OnceValue(func() []*Key {
	var list []*Key
	for _, k := range Keys() {
		if leaf, ok := leaves()[k.Path]; ok {
			list = append(list, leaf)
		}
	}
	return list
})

func keysOf(t reflect.Type, prefix string, index []int) []*Key {
	var keys []*Key
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		k := &Key{
			Path:     prefix + name,
			Kind:     kindOf(f),
			Needs:    Needs(f.Tag.Get("needs")),
			Field:    t.Name() + "." + f.Name,
			Optional: f.Tag.Get("optional") == "true",
			name:     name,
			index:    append(append([]int(nil), index...), i),
		}
		if enum, ok := f.Tag.Lookup("enum"); ok {
			k.Enum = strings.Split(enum, ",")
		}
		switch k.Kind {
		case KindSection:
			k.children = keysOf(f.Type, k.Path+".", k.index)
		case KindSectionList:
			k.Env = envName(k.Path)
			k.children = keysOf(f.Type.Elem(), k.Path+"[].", nil)
			for _, c := range k.children {
				c.Env = ""
			}
		case KindVariables:
			k.Env = envName(k.Path) + "_"
		default:
			k.Env = envName(k.Path)
		}
		keys = append(keys, k)
	}
	return keys
}

// envName is the rule that names the environment variable of a key.
func envName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// kindOf tells a field's kind from its type and its kind tag. A field of a type
// that it does not know is a mistake in config.go, which every test finds.
func kindOf(f reflect.StructField) Kind {
	tag := Kind(f.Tag.Get("kind"))
	switch f.Type {
	case reflect.TypeFor[time.Duration]():
		return KindDuration
	case reflect.TypeFor[string]():
		if tag == KindPath {
			return KindPath
		}
		return KindText
	case reflect.TypeFor[int](), reflect.TypeFor[int64]():
		if tag == KindBytes {
			return KindBytes
		}
		return KindInteger
	case reflect.TypeFor[[]string]():
		switch tag {
		case KindCommand:
			return KindCommand
		case KindPath:
			return KindPaths
		}
		return KindTexts
	case reflect.TypeFor[[]int]():
		return KindIntegers
	case reflect.TypeFor[map[string]string]():
		return KindVariables
	}
	switch {
	case f.Type.Kind() == reflect.Struct:
		return KindSection
	case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
		return KindSectionList
	}
	panic(fmt.Sprintf("config: field %s has a type that keys cannot have: %s", f.Name, f.Type))
}

// field is the value of k in c, addressable.
func (k *Key) field(c *Config) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByIndex(k.index)
}

// value is k's value in c: string, int, int64, time.Duration, []string, []int,
// map[string]string or a list of sections.
func (k *Key) value(c *Config) any {
	return k.field(c).Interface()
}

// set gives k a value in c. An int64 goes into an int as well: a value's parser
// knows its kind, not the width of its field.
func (k *Key) set(c *Config, v any) {
	f := k.field(c)
	f.Set(reflect.ValueOf(v).Convert(f.Type()))
}
