package config

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FileVariable names the file if no flag does. Empty counts as unset.
const FileVariable = envPrefix + "CONFIG"

// parseEnviron makes a map of "NAME=value" entries. Of a name that comes twice
// the first counts, as with os.Getenv.
func parseEnviron(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		name, value, ok := strings.Cut(entry, "=")
		if _, twice := env[name]; ok && !twice {
			env[name] = value
		}
	}
	return env
}

// decodeEnviron reads the settings of the CREEL_ variables and refuses those
// that it does not know. It never shows the value of a variable that it does not
// know, nor of one that goes to the gateway.
func decodeEnviron(env map[string]string, p *problems) []setting {
	byName := map[string]*Key{}
	for _, k := range ordered() {
		byName[k.Env] = k
	}
	var settings []setting
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, envPrefix) || name == FileVariable {
			continue
		}
		value := env[name]
		src := Source{Origin: OriginEnv, Name: name}
		k, known := byName[name]
		switch {
		case known && k.Kind != KindVariables:
			if v, ok := decodeText(k, []string{value}, isServiceLink(name, value), src, p); ok {
				settings = append(settings, setting{key: k, value: v, source: src})
			}
		case strings.HasPrefix(name, leaves()[variablesKey].Env):
			settings = append(settings, variableSetting(name, value, src, p)...)
		case isServiceLink(name, value):
		default:
			p.add(src, "", "unknown variable%s", suggestVariable(name, slices.Sorted(maps.Keys(byName))))
		}
	}
	return settings
}

// variableSetting is that of CREEL_GATEWAY_ENV_NAME, which gives NAME to the
// gateway.
func variableSetting(name, value string, src Source, p *problems) []setting {
	k := leaves()[variablesKey]
	given := strings.TrimPrefix(name, k.Env)
	if given == "" {
		p.add(src, "", "has no name after %s; write %sNAME=value", k.Env, k.Env)
		return nil
	}
	return []setting{{
		key:    k,
		value:  map[string]string{given: value},
		source: src,
		parts:  map[string]Source{k.Path + "." + given: src},
	}}
}

// serviceLink matches the names that Kubernetes sets in each pod for each
// Service of the namespace (and Docker for links): with a Service named "creel"
// there are CREEL_SERVICE_HOST, CREEL_PORT, CREEL_PORT_8080_TCP_ADDR and more.
var serviceLink = regexp.MustCompile(`^CREEL_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

var serviceAddress = regexp.MustCompile(`^(tcp|udp|sctp)://`)

func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || strings.HasSuffix(name, "_PORT") && serviceAddress.MatchString(value)
}

func suggestVariable(name string, known []string) string {
	if best := nearest(name, append(known, FileVariable)); best != "" && best != leaves()[variablesKey].Env {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	if name+"_" == leaves()[variablesKey].Env {
		return fmt.Sprintf("; set one for each, as %s_NAME=value", name)
	}
	return "; docs/configuration.md lists those that creel knows"
}

// decodeText reads the value of a key from an environment variable (one text) or
// from a flag (for a list, one text for each item).
func decodeText(k *Key, texts []string, link bool, src Source, p *problems) (any, bool) {
	v, err := parseTexts(k, texts, src, p)
	if err == nil {
		return v, v != nil
	}
	hint := ""
	if link {
		hint = "; Kubernetes sets this variable for a Service of that name: give the pod enableServiceLinks: false"
	}
	p.add(src, k.Path, "%v%s", err, hint)
	return nil, false
}

// parseTexts reads a value of any kind but KindVariables. Problems with items of
// a JSON array go to p; the value is then nil, and so is the error.
func parseTexts(k *Key, texts []string, src Source, p *problems) (any, error) {
	switch k.Kind {
	case KindTexts, KindPaths, KindCommand, KindIntegers, KindSectionList:
	default:
		if len(texts) != 1 {
			return nil, fmt.Errorf("takes one value, not %d", len(texts))
		}
		if texts[0] == "" && k.Kind != KindText && k.Kind != KindPath {
			return nil, fmt.Errorf("is empty; it must be %s; leave it out to get the default", k.Kind.example())
		}
		return parseText(k.Kind, texts[0])
	}
	if src.Origin == OriginEnv {
		text := strings.TrimSpace(texts[0])
		if strings.HasPrefix(text, "[") {
			return parseFlowList(k, text, src, p)
		}
		var err error
		if texts, err = splitText(k.Kind, text); err != nil {
			return nil, err
		}
	}
	switch k.Kind {
	case KindSectionList:
		if len(texts) == 0 {
			return reflect.MakeSlice(k.field(&Config{}).Type(), 0, 0).Interface(), nil
		}
		return nil, fmt.Errorf(`must be a JSON array of objects, such as [{"%s": "…"}]`, k.children[0].name)
	case KindIntegers:
		numbers := make([]int, len(texts))
		for i, text := range texts {
			n, err := parseInteger(text)
			if err != nil {
				return nil, err
			}
			numbers[i] = int(n)
		}
		return numbers, nil
	}
	return append([]string{}, texts...), nil
}

// splitText takes a list apart that is written as plain text: a command at white
// space, any other list at commas.
//
// There is no quoting. It would be a third language beside YAML and JSON, of
// which each reader expects another dialect; who needs it writes JSON.
func splitText(kind Kind, text string) ([]string, error) {
	if kind == KindCommand {
		if strings.ContainsAny(text, `"'\`) {
			return nil, fmt.Errorf(`a command with quotes or backslashes has to be a JSON array, such as ["sh", "-c", "exec app"]`)
		}
		return strings.Fields(text), nil
	}
	if text == "" {
		return nil, nil
	}
	items := strings.Split(text, ",")
	for i, item := range items {
		if items[i] = strings.TrimSpace(item); items[i] == "" {
			return nil, fmt.Errorf("has an empty item between its commas")
		}
	}
	return items, nil
}

// parseFlowList reads a JSON array with the reader of the file: what YAML calls
// a flow sequence has JSON as a subset, and the problems are the same.
func parseFlowList(k *Key, text string, src Source, p *problems) (any, error) {
	d := &document{data: []byte(text)}
	root, problem := d.parse()
	if problem != nil {
		return nil, fmt.Errorf("cannot be read as a JSON array: %s", problem.Message)
	}
	dec := &decoder{problems: p, place: func(*yaml.Node) Source { return src }}
	parts := map[string]Source{}
	v, ok := dec.value(k, k.Path, root, parts)
	if !ok {
		p.fail(k.Path)
		return nil, nil
	}
	return v, nil
}
