package snapshot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"creel/internal/snapshot/store"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// snap is a good snapshot of lineage "a" that is so old; mark changes it.
func snap(age time.Duration, mark ...func(*store.Snapshot)) store.Snapshot {
	t := noon.Add(-age)
	s := store.Snapshot{Meta: store.Meta{ID: store.ID(t.Format("20060102T150405Z") + "-0000"), Time: t, Lineage: "a"}, Marks: store.Marks{Sampled: t}}
	for _, m := range mark {
		m(&s)
	}
	return s
}

func unread(s *store.Snapshot)   { s.Sampled = time.Time{} }
func shrunken(s *store.Snapshot) { s.Shrunk = "10 of 1000 files" }
func lacks(s *store.Snapshot)    { s.Unread = 2 }
func damaged(s *store.Snapshot)  { s.Damaged = "a chunk is missing" }
func pinned(s *store.Snapshot)   { s.Pinned = true }
func other(s *store.Snapshot)    { s.Lineage = "b" }

const day = 24 * time.Hour

func TestRetain(t *testing.T) {
	for _, c := range []struct {
		name string
		keep Keep
		all  []store.Snapshot // oldest first
		want string           // "-" for one that may go, "k" for one that is kept
	}{
		{"nothing asks for more: the newest stays", Keep{}, []store.Snapshot{snap(3 * day), snap(2 * day), snap(day)}, "--k"},
		{"last", Keep{Last: 2}, []store.Snapshot{snap(3 * day), snap(2 * day), snap(day)}, "-kk"},
		{"hourly: the newest of each hour", Keep{Hourly: 2}, []store.Snapshot{snap(90 * time.Minute), snap(70 * time.Minute), snap(20 * time.Minute), snap(10 * time.Minute)}, "-k-k"},
		{"daily counts days that have one", Keep{Daily: 2}, []store.Snapshot{snap(30 * day), snap(20 * day), snap(0)}, "-kk"},
		{"weekly", Keep{Weekly: 2}, []store.Snapshot{snap(9 * day), snap(8 * day), snap(1 * day), snap(0)}, "-k-k"},
		{"monthly", Keep{Monthly: 3}, []store.Snapshot{snap(70 * day), snap(40 * day), snap(20 * day), snap(0)}, "kk-k"},
		{"not read back: nothing older goes", Keep{Last: 1}, []store.Snapshot{snap(3 * day), snap(2 * day), snap(day, unread)}, "-kk"},
		{"none read back: all stay", Keep{Last: 1}, []store.Snapshot{snap(3*day, unread), snap(2*day, unread)}, "kk"},
		{"shrunk takes no place and keeps the one before", Keep{Last: 1}, []store.Snapshot{snap(5 * day), snap(4 * day), snap(3*day, shrunken), snap(2 * day), snap(day)}, "-kk-k"},
		{"shrunk and the newest", Keep{Last: 2}, []store.Snapshot{snap(4 * day), snap(3 * day), snap(2 * day), snap(day, shrunken)}, "-kkk"},
		{"shrunk, and damaged since, still keeps the one before", Keep{Last: 1}, []store.Snapshot{snap(4 * day), snap(3*day, shrunken, damaged), snap(2 * day), snap(day)}, "kk-k"},
		{"damaged goes", Keep{Last: 3}, []store.Snapshot{snap(3*day, damaged), snap(2 * day)}, "-k"},
		{"damaged is the last there is", Keep{Last: 1}, []store.Snapshot{snap(3*day, damaged), snap(2*day, damaged)}, "kk"},
		{"only a shrunk one and a damaged one", Keep{}, []store.Snapshot{snap(3*day, damaged), snap(2*day, shrunken)}, "kk"},
		{"what lacks files pushes nothing out", Keep{Last: 1}, []store.Snapshot{snap(5 * day), snap(4 * day), snap(3*day, lacks), snap(2*day, lacks), snap(day, lacks)}, "-k--k"},
		{"a whole one makes those that lack files dispensable", Keep{Last: 2}, []store.Snapshot{snap(3 * day), snap(2*day, lacks), snap(day)}, "k-k"},
		{"one that was not read back does not", Keep{Last: 1}, []store.Snapshot{snap(3 * day), snap(2*day, lacks), snap(day, unread)}, "kkk"},
		{"nothing whole is left", Keep{Last: 1}, []store.Snapshot{snap(3*day, damaged), snap(2*day, lacks), snap(day, lacks)}, "k-k"},
		{"pinned", Keep{Last: 1}, []store.Snapshot{snap(300*day, pinned), snap(2 * day), snap(day)}, "k-k"},
		{"a new lineage pushes nothing out", Keep{Last: 1}, []store.Snapshot{snap(3 * day), snap(2 * day), snap(day, other), snap(0, other)}, "-k-k"},
		{"none", Keep{Last: 1}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			kept := Retain(c.all, c.keep)
			for _, k := range kept {
				if len(k.Why) > 0 {
					got += "k"
				} else {
					got += "-"
				}
			}
			if got != c.want {
				t.Errorf("got %s, want %s: %s", got, c.want, reasons(kept))
			}
		})
	}
}

func reasons(kept []Kept) string {
	var list []string
	for _, k := range kept {
		list = append(list, fmt.Sprintf("%s %q", k.ID, k.Why))
	}
	return strings.Join(list, "; ")
}

// TestRetainNeverLosesTheLast walks through random lives of a store: after every
// removal the newest good snapshot of each lineage is there, and so is one that
// was read back, if there ever was one.
func TestRetainNeverLosesTheLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := Keep{rapid.IntRange(0, 3).Draw(t, "last"), rapid.IntRange(0, 3).Draw(t, "hourly"), rapid.IntRange(0, 3).Draw(t, "daily"), rapid.IntRange(0, 2).Draw(t, "weekly"), rapid.IntRange(0, 2).Draw(t, "monthly")}
		var all []store.Snapshot
		now := noon
		newestGood, readBack := map[string]store.ID{}, map[string]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 5000).Draw(t, "minutes")) * time.Minute)
			s := store.Snapshot{Meta: store.Meta{ID: store.ID(now.Format(time.RFC3339)), Time: now, Lineage: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "lineage")}}
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0:
				s.Shrunk = "x"
			case 1:
				s.Damaged = "x"
			case 2, 3:
			default:
				s.Sampled = now
			}
			all = append(all, s)
			if good(s) {
				newestGood[s.Lineage] = s.ID
				readBack[s.Lineage] = readBack[s.Lineage] || proven(s)
			}
			var left []store.Snapshot
			for _, k := range Retain(all, keep) {
				if len(k.Why) > 0 {
					left = append(left, k.Snapshot)
				}
			}
			all = left
			for line, id := range newestGood {
				if !slices.ContainsFunc(all, func(s store.Snapshot) bool { return s.ID == id }) {
					t.Fatalf("the newest good one of %s is gone", line)
				}
				if readBack[line] && !slices.ContainsFunc(all, func(s store.Snapshot) bool { return s.Lineage == line && good(s) && proven(s) }) {
					t.Fatalf("none of %s that was read back is left", line)
				}
			}
		}
	})
}
