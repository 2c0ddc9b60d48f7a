package ui

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"creel/internal/health"
	"creel/internal/snapshot/store"
)

// TestCalendar: each day of a month has its snapshots, and leads to them.
func TestCalendar(t *testing.T) {
	at := func(month time.Month, day, hour int) store.Snapshot {
		s := aSnapshot(1, time.Date(2026, month, day, hour, 0, 0, 0, time.Local))
		return s
	}
	damaged := at(11, 26, 9)
	damaged.Damaged = "it cannot be read"
	all := []store.Snapshot{at(8, 3, 1), at(10, 31, 23), at(11, 1, 0), at(11, 26, 1), at(11, 26, 2), damaged, at(12, 1, 0)}
	month := time.Date(2026, 11, 1, 0, 0, 0, 0, time.Local)
	c := calendarOf(all, month, time.Date(2026, 11, 27, 12, 0, 0, 0, time.Local), true, func(at time.Time) bool { return at.Day() > 20 })
	if len(c.Weeks) != 6 || c.Count != 4 || c.Earlier != Prefix+"snapshots?month=2026-10" || c.Later != Prefix+"snapshots?month=2026-12" || c.Newest {
		t.Fatalf("%+v", c)
	}
	// 1 November 2026 is a Sunday, the 30th a Monday.
	days, today := 0, 0
	for _, week := range c.Weeks {
		for i, d := range week {
			if d.At.IsZero() {
				continue
			}
			days++
			if want := (int(d.At.Weekday()) + 6) % 7; i != want || d.At.Day() != days {
				t.Errorf("%s stands at %d", d.At, i)
			}
			if d.Today {
				today = d.At.Day()
			}
			switch d.At.Day() {
			case 1:
				if d.Count != 1 || d.Heat != 1 || d.Link != Prefix+"snapshots?month=2026-11#d2026-11-01" {
					t.Errorf("%+v", d)
				}
			case 26:
				if d.Count != 3 || d.Heat != 2 || d.Damaged != 1 || d.Link != "#d2026-11-26" {
					t.Errorf("%+v", d)
				}
			default:
				if d.Count != 0 || d.Heat != 0 || d.Link != "" {
					t.Errorf("%+v", d)
				}
			}
		}
	}
	if days != 30 || today != 27 {
		t.Errorf("%d days, today is %d", days, today)
	}
	for n, want := range map[int]int{0: 0, 1: 1, 2: 2, 4: 2, 5: 3, 12: 3, 13: 4, 1000: 4} {
		if heat(n) != want {
			t.Errorf("%d snapshots: %d", n, heat(n))
		}
	}
	for year := 2024; year < 2030; year++ {
		for m := time.January; m <= time.December; m++ {
			first := time.Date(year, m, 1, 0, 0, 0, 0, time.Local)
			n := 0
			for _, week := range calendarOf(nil, first, first, false, nil).Weeks {
				for _, d := range week {
					if !d.At.IsZero() {
						n++
					}
				}
			}
			if want := first.AddDate(0, 1, -1).Day(); n != want {
				t.Errorf("%s has %d days, and %d are shown", first.Format(monthForm), want, n)
			}
		}
	}
}

// TestMonths: the page of snapshots shows a month of them, and all links of the
// calendar lead somewhere.
func TestMonths(t *testing.T) {
	w := full()
	h := serve(t, w.opts, asOwner)
	newest := w.cellar.list[len(w.cellar.list)-1].Time.Local()
	old := aSnapshot(99, newest.AddDate(0, -3, 0))
	old.Note = "long ago"
	w.cellar.list = append([]store.Snapshot{old}, w.cellar.list...)
	links := regexp.MustCompile(`class="n\d[^"]*" href="([^"]*)"`)
	for _, path := range []string{"snapshots", "snapshots?month=" + newest.Format(monthForm), "snapshots?month=" + old.Time.Format(monthForm)} {
		_, page := get(t, h, Prefix+path)
		found := links.FindAllStringSubmatch(page, -1)
		if len(found) == 0 {
			t.Errorf("%s: no day has any", path)
		}
		for _, m := range found {
			to, day, _ := strings.Cut(m[1], "#")
			target := page
			if to != "" {
				_, target = get(t, h, to)
			}
			if !strings.Contains(target, fmt.Sprintf("id=%q", day)) {
				t.Errorf("%s: %s leads nowhere", path, m[1])
			}
		}
		if want := path == "snapshots" || strings.HasSuffix(path, old.Time.Format(monthForm)); strings.Contains(page, "“long ago”") != want {
			t.Errorf("%s: the one of long ago: want %v", path, want)
		}
	}
	if _, page := get(t, h, Prefix+"snapshots?month=1999-01"); !strings.Contains(page, "There is no snapshot of January 1999") {
		t.Error("an empty month does not say so")
	}
	if status, _ := get(t, h, Prefix+"snapshots?month=nonsense"); status != 200 {
		t.Errorf("nonsense: %d", status)
	}
}

// TestHints: what is worth knowing is no trouble.
func TestHints(t *testing.T) {
	w := full()
	h := serve(t, w.opts, asOwner)
	w.health = []health.Report{{Condition: health.Provider, Severity: health.Info, Message: "OpenClaw knows no model provider yet", Hint: "choose one in the Control UI"}}
	w.pending = nil
	w.desk.list = nil
	_, page := get(t, h, Prefix)
	if strings.Contains(page, "Needs attention") || strings.Contains(page, "to look at") || !strings.Contains(page, "Worth knowing") || !strings.Contains(page, `class="alert info"`) ||
		!strings.Contains(page, `href="/_creel/open">Open the gateway<span class="unseen">: OpenClaw knows no model provider yet.`) {
		t.Errorf("a hint is shown as: %s", page)
	}
}
