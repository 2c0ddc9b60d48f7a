package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LoadOptions says where Load finds what.
type LoadOptions struct {
	// Path is the configuration file; it has to exist. Empty: the file that
	// CREEL_CONFIG names, and none if that is unset or empty. Load does not look
	// for a file by itself.
	Path string
	// Environ is the environment, as os.Environ gives it. Variables that do not
	// begin with CREEL_ count for the default of data_dir alone.
	Environ []string
	// Flags are what was given on the command line; of two with the same key
	// the later counts.
	Flags []Flag
	// DataDir is the data folder if no source names one. Empty: DefaultDataDir
	// for Environ and the user of this process.
	DataDir string
}

// Flag is a setting from the command line.
type Flag struct {
	Name   string   // as a person typed it, such as "--listen"; named in problems and in Sources
	Key    string   // dotted, such as "listen"
	Values []string // for a list its items, else one text, written as in an environment variable
}

// Load builds the configuration: Defaults, then the preset's, then the file, the
// environment and the flags. Which preset counts is decided first, by the
// strongest source that names one.
//
// Relative paths in the file (data_dir, gateway.dir, gateway.state) start at the
// file's folder, so that they mean the same whoever starts creel from wherever;
// those in variables and flags start at the working directory.
//
// Its error is a *Problems. errors.Is finds fs.ErrNotExist and
// fs.ErrPermission in it if the file could not be read.
func Load(o LoadOptions) (*Config, *Sources, error) {
	env := parseEnviron(o.Environ)
	path := o.Path
	if path == "" {
		path = env[FileVariable]
	}
	var doc *document
	p := &problems{}
	if path != "" {
		var problem *Problem
		if doc, problem = readDocument(path); problem != nil {
			p.addProblem(problem)
			p.failAll()
		}
	}
	return build(o, env, doc, p)
}

// build is Load once the file is read; doc is nil if there is none.
func build(o LoadOptions, env map[string]string, doc *document, p *problems) (*Config, *Sources, error) {
	sources := &Sources{byKey: map[string]Source{}}
	var settings []setting
	if doc != nil {
		fromFile, sections := decodeDocument(doc, p)
		for key, src := range sections {
			sources.byKey[key] = src
		}
		sources.file = doc.at(1, 1)
		settings = append(settings, fromFile...)
	}
	settings = append(settings, decodeEnviron(env, p)...)
	settings = append(settings, decodeFlags(o.Flags, p)...)

	cfg := Defaults()
	setDataDir(&cfg, o, env)
	sources.applyPreset(&cfg, chosenPreset(settings))
	for _, set := range settings {
		sources.apply(&cfg, set)
	}
	absolute(&cfg, sources, p)
	validate(&cfg, sources, p)
	if err := p.err(); err != nil {
		return nil, nil, err
	}
	return &cfg, sources, nil
}

func decodeFlags(flags []Flag, p *problems) []setting {
	var settings []setting
	for _, f := range flags {
		src := Source{Origin: OriginFlag, Name: f.Name}
		k, ok := leaves()[f.Key]
		if !ok || k.Kind == KindVariables || k.Kind == KindSectionList {
			p.add(src, f.Key, "this key cannot be set by a flag")
			continue
		}
		if v, ok := decodeText(k, f.Values, false, src, p); ok {
			settings = append(settings, setting{key: k, value: v, source: src})
		}
	}
	return settings
}

func chosenPreset(settings []setting) string {
	preset := PresetNone
	for _, set := range settings {
		if set.key.Path == "gateway.preset" {
			preset = set.value.(string)
		}
	}
	return preset
}

// applyPreset gives cfg the preset's defaults and records which keys they are.
func (s *Sources) applyPreset(cfg *Config, preset string) {
	before := *cfg
	ApplyPreset(cfg, preset)
	for _, k := range ordered() {
		if !equal(k.value(&before), k.value(cfg)) {
			s.byKey[k.Path] = Source{Origin: OriginPreset, Name: preset}
		}
	}
}

// setDataDir puts the default in, or leaves it empty if there is none, which is
// a problem only if no source names one either.
func setDataDir(cfg *Config, o LoadOptions, env map[string]string) {
	cfg.DataDir = o.DataDir
	if cfg.DataDir != "" {
		return
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	if dir, err := DefaultDataDir(lookup, os.Geteuid()); err == nil {
		cfg.DataDir = dir
	}
}

// absolute makes paths absolute and clean. An empty one stays empty.
func absolute(cfg *Config, s *Sources, p *problems) {
	one := func(key, path string) string {
		src := s.Of(key)
		if path == "" || p.isFailed(key) {
			return path
		}
		if path == "~" || strings.HasPrefix(path, "~/") {
			p.add(src, key, `%q: creel does not expand "~"; write the folder out`, clip(path))
			return path
		}
		if src.Origin == OriginFile && !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(src.File), path)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			p.add(src, key, "cannot make %q absolute: %v", clip(path), err)
			return path
		}
		return abs
	}
	for _, k := range ordered() {
		switch k.Kind {
		case KindPath:
			k.set(cfg, one(k.Path, k.value(cfg).(string)))
		case KindPaths:
			paths := k.value(cfg).([]string)
			made := make([]string, len(paths))
			for i, path := range paths {
				made[i] = one(fmt.Sprintf("%s[%d]", k.Path, i), path)
			}
			if paths != nil {
				k.set(cfg, made)
			}
		case KindSectionList:
			absoluteSections(k, cfg, one)
		}
	}
}
