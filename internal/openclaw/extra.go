package openclaw

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// Mode says who wins where openclaw.json holds something else than a Setting.
type Mode int

// The modes.
const (
	// Own: the setting wins, always.
	Own Mode = iota
	// Default: the setting is written where there is nothing, and where there is
	// still what creel has put there the last time. What a person, the Control UI
	// or OpenClaw has changed stays as it is.
	Default
	// Items: the setting is a list of strings, and those that are missing are
	// added to the list that is there. Nothing of others is taken out of it.
	Items
)

// Setting is one key of openclaw.json and its value.
//
// A setting that was given the last time and is not given any more is taken back:
// its key is removed if it still has the value that creel has put there, and of a
// list those strings that creel has added.
type Setting struct {
	// Path is the key, from the root: "models", "providers", "openai".
	Path []string
	// Value is anything that encoding/json writes; for Items a []string.
	Value any
	Mode  Mode
	// If, unless nil, is what the configuration must say besides, by now, for this
	// setting to be made: that "*" is allowed where the policy is "open".
	If *Setting
	// Else is the value to be had where If does not hold; nil: none.
	Else any
}

func (s Setting) String() string { return strings.Join(s.Path, ".") }

// Lock makes those settings creel's own whose key, or a key above it, is among
// keys: "channels.telegram" locks channels.telegram.botToken too.
func Lock(settings []Setting, keys []string) []Setting {
	locked := slices.Clone(settings)
	for i, s := range locked {
		if s.Mode == Default && Locks(keys, s.String()) {
			locked[i].Mode = Own
		}
	}
	return locked
}

// Locks reports whether a key, or one above it, is among keys.
func Locks(keys []string, key string) bool {
	return slices.ContainsFunc(keys, func(k string) bool { return key == k || strings.HasPrefix(key, k+".") })
}

// MemorySuffix is added to the name of openclaw.json for the record of what creel
// has put there by Settings.Extra. It lies in the state, so that a state that is
// restored comes with its own. It holds digests of values, since those may be
// secrets, and the strings that were added to lists.
const MemorySuffix = ".creel-settings"

// memory is what creel has put into the configuration, by JSON Pointer (RFC 6901).
type memory struct {
	// Values are SHA-256 digests of canonical values. There is more than one only
	// while a change is on its way to the disk.
	Values map[string][]string `json:"values,omitempty"`
	Items  map[string][]string `json:"items,omitempty"`
	// Token is the digest of the gateway's token if creel has made or was given it.
	// TokenBefore is that of the one before, while another is on its way to the disk.
	Token       string `json:"token,omitempty"`
	TokenBefore string `json:"token_before,omitempty"`
}

// merge is a change of the configuration by Settings.Extra.
type merge struct {
	path    string // of the memory
	old     memory
	now     memory
	there   string // the digest of the token that is in the configuration, if creel has put it there
	changed bool   // the document was
	notes   []string
}

// recall begins a merge with what creel has put there the last time. A record that
// says nothing is none: all that is there is then taken for someone else's, which
// loses nothing.
func (f *configFile) recall() (*merge, error) {
	m := &merge{path: f.path + MemorySuffix, now: memory{Values: map[string][]string{}, Items: map[string][]string{}}}
	b, err := os.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, f.fail(ConfigUnreadable, "creel's record of its settings, "+m.path, "make it readable for the user that runs creel", err)
	}
	if err := json.Unmarshal(b, &m.old); err != nil {
		m.old = memory{}
		m.notes = append(m.notes, fmt.Sprintf("%s cannot be read (%v): what is in the configuration is taken for a person's own", m.path, err))
	}
	return m, nil
}

// merge puts the settings into the document, and takes back what was put there and
// is not among them any more.
func (f *configFile) merge(m *merge, settings []Setting) error {
	asked := make(map[string]bool, len(settings))
	for _, s := range settings {
		if len(s.Path) == 0 {
			return errors.New("openclaw: a setting without a path")
		}
		asked[pointer(s.Path)] = true
	}
	if err := m.takeBack(f.doc, func(key string) bool { return !asked[key] }); err != nil {
		return f.fail(ConfigConflict, "", "correct it", err)
	}
	for _, s := range settings {
		if s.If != nil && !holds(f.doc, *s.If) {
			s.Value = s.Else
		}
		if s.Value == nil {
			if err := m.takeBack(f.doc, func(key string) bool { return key == pointer(s.Path) }); err != nil {
				return f.fail(ConfigConflict, "", "correct it", err)
			}
			continue
		}
		var err error
		if s.Mode == Items {
			err = m.addItems(f.doc, s)
		} else {
			err = m.setValue(f.doc, s)
		}
		if err != nil && s.Mode == Own {
			return f.fail(ConfigConflict, "", "correct it", err)
		}
		if err != nil { // what a person has written is more than a default
			m.notes = append(m.notes, fmt.Sprintf("%s was left alone: %v", strings.Join(s.Path, "."), err))
		}
	}
	return nil
}

// setValue is for the modes Own and Default.
func (m *merge) setValue(doc document, s Setting) error {
	key := pointer(s.Path)
	written, err := writtenValue(s.Value, len(s.Path))
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(s.Path, "."), err)
	}
	there, err := doc.value(s.Path)
	if err != nil {
		return err
	}
	if s.Mode == Default && there != nil && !m.wrote(key, there.Value) && !sameValue(there.Value, written) {
		return nil
	}
	did, err := doc.set(s.Path, s.Value)
	if err != nil {
		return err
	}
	// What was there, equal, before creel ever put it there is not creel's to
	// take back.
	if did || m.old.Values[key] != nil {
		m.now.Values[key] = []string{digest(written)}
	}
	m.changed = m.changed || did
	return nil
}

// addItems is for the mode Items.
func (m *merge) addItems(doc document, s Setting) error {
	items, ok := s.Value.([]string)
	if !ok {
		return fmt.Errorf("%s: the items are %T and not strings", strings.Join(s.Path, "."), s.Value)
	}
	key := pointer(s.Path)
	for _, gone := range m.old.Items[key] {
		if slices.Contains(items, gone) {
			continue
		}
		did, err := doc.drop(s.Path, gone)
		if err != nil {
			return err
		}
		m.changed = m.changed || did
	}
	for _, item := range items {
		did, err := doc.add(s.Path, []string{item})
		if err != nil {
			return err
		}
		if did || slices.Contains(m.old.Items[key], item) {
			m.now.Items[key] = append(m.now.Items[key], item)
		}
		m.changed = m.changed || did
	}
	return nil
}

// holds reports whether the document says what a setting says.
func holds(doc document, s Setting) bool {
	there, err := doc.value(s.Path)
	if err != nil || there == nil {
		return false
	}
	written, err := writtenValue(s.Value, len(s.Path))
	return err == nil && sameValue(there.Value, written)
}

// takeBack removes what creel has put there and is not asked for any more. A key
// that cannot be reached now was changed by someone else.
func (m *merge) takeBack(doc document, unasked func(key string) bool) error {
	for _, key := range slices.Sorted(maps.Keys(m.old.Values)) {
		if !unasked(key) {
			continue
		}
		path := pathOf(key)
		there, err := doc.value(path)
		if err != nil || there == nil || !m.wrote(key, there.Value) {
			continue
		}
		if _, err := doc.remove(path); err != nil {
			return err
		}
		m.changed = true
	}
	for _, key := range slices.Sorted(maps.Keys(m.old.Items)) {
		if !unasked(key) {
			continue
		}
		for _, item := range m.old.Items[key] {
			did, err := doc.drop(pathOf(key), item)
			if err != nil {
				break
			}
			m.changed = m.changed || did
		}
	}
	return nil
}

// wrote reports whether creel has put that value there.
func (m *merge) wrote(key string, v hujson.ValueTrimmed) bool {
	return slices.Contains(m.old.Values[key], digest(v))
}

// announce writes what will be there, beside what is, before the configuration is
// written: a creel that dies in between knows both for its own.
func (m *merge) announce() error {
	if !m.changed && m.now.Token == m.there {
		return nil
	}
	both := memory{Values: map[string][]string{}, Items: map[string][]string{}, Token: m.now.Token, TokenBefore: m.there}
	for _, mem := range []memory{m.old, m.now} {
		for key, digests := range mem.Values {
			both.Values[key] = append(both.Values[key], digests...)
		}
		for key, items := range mem.Items {
			both.Items[key] = append(both.Items[key], items...)
		}
	}
	return m.save(both)
}

// remember writes what is there now.
func (m *merge) remember() error { return m.save(m.now) }

func (m *merge) save(mem memory) error {
	b := append(marshal(mem), '\n')
	if kept, err := os.ReadFile(m.path); err == nil && bytes.Equal(kept, b) {
		return nil
	} else if errors.Is(err, fs.ErrNotExist) && len(mem.Values)+len(mem.Items) == 0 && mem.Token == "" {
		return nil
	}
	if err := writeFile(m.path, b); err != nil {
		return &ConfigError{Path: m.path, Reason: ConfigReadOnly, Next: "make its folder writable", Err: err}
	}
	return nil
}

func digest(v hujson.ValueTrimmed) string {
	sum := sha256.Sum256(canonical(v))
	return hex.EncodeToString(sum[:])
}

var (
	pointerEscape   = strings.NewReplacer("~", "~0", "/", "~1")
	pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")
)

// pointer is a path as a JSON Pointer (RFC 6901 section 3).
func pointer(path []string) string {
	var b strings.Builder
	for _, name := range path {
		b.WriteString("/" + pointerEscape.Replace(name))
	}
	return b.String()
}

func pathOf(pointer string) []string {
	names := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := range names {
		names[i] = pointerUnescape.Replace(names[i])
	}
	return names
}
