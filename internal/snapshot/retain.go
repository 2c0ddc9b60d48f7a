package snapshot

import (
	"fmt"
	"slices"
	"time"

	"creel/internal/snapshot/store"
)

// Keep says which snapshots are kept. A snapshot is kept if any line says so;
// 0: that line keeps none. Periods are those of UTC; of each the newest
// snapshot is kept, and the newest periods that have one count.
type Keep struct {
	Last    int // the newest
	Hourly  int
	Daily   int
	Weekly  int // ISO 8601 weeks
	Monthly int
}

// Kept is a snapshot and why it is kept; Why is empty for one that may go.
type Kept struct {
	store.Snapshot
	Why []string
}

// periods are the lines of Keep that speak of a period, with the name of the
// period that a time is in.
var periods = []struct {
	name  string
	count func(Keep) int
	of    func(time.Time) string
}{
	{"hourly", func(k Keep) int { return k.Hourly }, func(t time.Time) string { return t.Format("2006-01-02T15") }},
	{"daily", func(k Keep) int { return k.Daily }, func(t time.Time) string { return t.Format(time.DateOnly) }},
	{"weekly", func(k Keep) int { return k.Weekly }, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprintf("%d-W%02d", y, w) }},
	{"monthly", func(k Keep) int { return k.Monthly }, func(t time.Time) string { return t.Format("2006-01") }},
}

// Retain says for each snapshot, in the order given (oldest first), why it is
// kept. It is pure.
//
// Lineages are looked at one by one, so that a state which began afresh never
// pushes out what was there before. Only good snapshots take a place: whole as
// far as is known, and not marked as shrunk. Besides what keep says, these are
// kept (I5):
//   - the newest good one of each lineage, and the newest whose content was read
//     back, however old;
//   - everything newer than that: nothing is removed before a later one has
//     proved to be whole;
//   - a shrunk one, and the good one before it, until a person has accepted or
//     removed the shrunk one: it may tell of a loss;
//   - the good one that was restored last, which may be all that there is of the
//     present state;
//   - a damaged one only while nothing else of its lineage is good: some of its
//     files may be the last that there are;
//   - of those that lack files which could not be read, and are newer than the newest
//     good one that was read back, as many of the newest as keep.Last says, and one at
//     least: there is nothing better of that time;
//   - pinned ones.
func Retain(all []store.Snapshot, keep Keep) []Kept {
	kept := make([]Kept, len(all))
	byLineage := map[string][]*Kept{}
	for i, s := range all {
		kept[i].Snapshot = s
		byLineage[s.Lineage] = append(byLineage[s.Lineage], &kept[i])
	}
	for _, line := range byLineage {
		retainLineage(line, keep)
	}
	return kept
}

// good tells whether all is in it that should be, as far as is known.
func good(s store.Snapshot) bool { return s.Damaged == "" && s.Shrunk == "" && s.Unread == 0 }

// lacking tells whether only what could not be read is not in it.
func lacking(s store.Snapshot) bool { return s.Damaged == "" && s.Shrunk == "" && s.Unread > 0 }

// proven tells whether content of it was read back.
func proven(s store.Snapshot) bool { return !s.Sampled.IsZero() || !s.Verified.IsZero() }

func (k *Kept) because(why string) { k.Why = append(k.Why, why) }

// retainLineage is Retain for one lineage, oldest first.
func retainLineage(line []*Kept, keep Keep) {
	var goods []*Kept // newest first
	for i, k := range line {
		switch {
		case k.Pinned:
			k.because("pinned")
		case k.Shrunk != "": // damaged or not: while it is there, it keeps the one before
			k.because("shrunk, and not accepted yet")
		}
		if k.Shrunk != "" {
			if before := lastGood(line[:i]); before != nil {
				before.because("the last before a shrunk one")
			}
		}
		if good(k.Snapshot) {
			goods = append(goods, k)
		}
	}
	slices.Reverse(goods)
	retainLacking(line, keep)
	if len(goods) == 0 {
		for _, k := range line {
			if lacking(k.Snapshot) {
				continue // of those the newest are kept
			}
			k.because("nothing better is left")
		}
		return
	}
	goods[0].because("the newest")
	if last := slices.MaxFunc(goods, func(a, b *Kept) int { return a.Restored.At.Compare(b.Restored.At) }); !last.Restored.At.IsZero() {
		last.because("the one that was restored last")
	}
	newest := slices.IndexFunc(goods, func(k *Kept) bool { return proven(k.Snapshot) })
	if newest < 0 {
		for _, k := range goods {
			k.because("no later one was read back yet")
		}
		return
	}
	goods[newest].because("the newest that was read back")
	for _, k := range goods[:newest] {
		k.because("not read back yet")
	}
	for i, k := range goods {
		if i < keep.Last {
			k.because("last")
		}
	}
	for _, p := range periods {
		seen := ""
		left := p.count(keep)
		for _, k := range goods {
			if name := p.of(k.Time.UTC()); name != seen && left > 0 {
				seen = name
				left--
				k.because(p.name)
			}
		}
	}
}

func retainLacking(line []*Kept, keep Keep) {
	left := max(keep.Last, 1)
	for _, k := range slices.Backward(line) {
		switch {
		case good(k.Snapshot) && proven(k.Snapshot), left == 0:
			return
		case lacking(k.Snapshot):
			k.because("not all could be read, and no later one is whole")
			left--
		}
	}
}

func lastGood(line []*Kept) *Kept {
	for _, k := range slices.Backward(line) {
		if good(k.Snapshot) {
			return k
		}
	}
	return nil
}
