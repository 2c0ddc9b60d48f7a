package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/manifest"
)

// Each field of a snapshot's marks is a manifest of its own, so that two machines
// that mark at once (one pins, one has verified) do not undo each other. Of
// several of the same field the one with the highest count is in force: clocks
// need not agree.
const (
	markType  = "creel-mark"
	markID    = "creel-id"
	markField = "creel-field"
)

// mark is the content of such a manifest.
type mark struct {
	Count int64           `json:"count"`
	Value json.RawMessage `json:"value"`

	id manifest.ID
}

// markTable holds what marks there are, by snapshot and field.
type markTable map[ID]map[string][]mark

func loadMarks(ctx context.Context, r repo.Repository, id ID) (markTable, error) {
	labels := map[string]string{manifest.TypeLabelKey: markType}
	if id != "" {
		labels[markID] = string(id)
	}
	entries, err := r.FindManifests(ctx, labels)
	if err != nil {
		return nil, err
	}
	t := make(markTable)
	for _, e := range entries {
		m := mark{id: e.ID}
		if _, err := r.GetManifest(ctx, e.ID, &m); err != nil {
			if errors.Is(err, manifest.ErrNotFound) {
				continue // replaced since
			}
			return nil, err
		}
		snapshot, field := ID(e.Labels[markID]), e.Labels[markField]
		if t[snapshot] == nil {
			t[snapshot] = make(map[string][]mark)
		}
		t[snapshot][field] = append(t[snapshot][field], m)
	}
	return t, nil
}

// latest is the one in force of several marks; nil: none.
func latest(marks []mark) *mark {
	var top *mark
	for i, m := range marks {
		if top == nil || m.Count > top.Count || m.Count == top.Count && m.id > top.id {
			top = &marks[i]
		}
	}
	return top
}

// of puts the marks of a snapshot together. What cannot be read is of a creel to
// come, and passed over.
func (t markTable) of(s Meta) Marks {
	fields := make(map[string]json.RawMessage)
	for name, marks := range t[s.ID] {
		fields[name] = latest(marks).Value
	}
	m := Marks{Shrunk: s.Smaller}
	for name, value := range fields {
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err == nil {
			_ = json.Unmarshal(one, &m)
		}
	}
	return m
}

// fieldsOf gives the fields of marks, the empty ones too.
func fieldsOf(m Marks) (map[string]json.RawMessage, error) {
	out := make(map[string]json.RawMessage)
	for name, value := range map[string]any{
		"verified": m.Verified, "sampled": m.Sampled, "damaged": m.Damaged, "shrunk": m.Shrunk, "pinned": m.Pinned,
		"restored": m.Restored,
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		out[name] = text
	}
	return out, nil
}

func (s *kopiaStore) Mark(ctx context.Context, id ID, change func(*Marks)) error {
	ctx, leave, err := s.enterWriting(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return fail(ctx, fmt.Sprintf("mark snapshot %s in %s", id, s.opts.name()), s.mark(ctx, id, change))
}

func (s *kopiaStore) mark(ctx context.Context, id ID, change func(*Marks)) error {
	if err := s.refresh(ctx); err != nil {
		return err
	}
	found, err := find(ctx, s.repo, id)
	if err != nil {
		return err
	}
	table, err := loadMarks(ctx, s.repo, id)
	if err != nil {
		return err
	}
	marks := table.of(found.Meta)
	before, err := fieldsOf(marks)
	if err != nil {
		return err
	}
	change(&marks)
	after, err := fieldsOf(marks)
	if err != nil {
		return err
	}
	return s.write(ctx, "mark", func(ctx context.Context, w repo.DirectRepositoryWriter) error {
		for name, value := range after {
			if string(value) == string(before[name]) {
				continue
			}
			m := mark{Count: 1, Value: value}
			if top := latest(table[id][name]); top != nil {
				m.Count = top.Count + 1
			}
			labels := map[string]string{manifest.TypeLabelKey: markType, markID: string(id), markField: name}
			if _, err := w.PutManifest(ctx, labels, m); err != nil {
				return err
			}
			for _, old := range table[id][name] {
				if err := w.DeleteManifest(ctx, old.id); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
