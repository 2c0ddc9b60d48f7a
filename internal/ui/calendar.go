package ui

import (
	"net/http"
	"time"

	"creel/internal/snapshot/store"
)

// calendar is a month of days, each with how many snapshots it has, and the way to
// them.
type calendar struct {
	Month   time.Time // its first day
	Weeks   [][7]calendarDay
	Earlier string // where the month before it is that has some; empty: there is none
	Later   string
	Newest  bool // it is the one that is shown unless another is asked for
	Count   int  // snapshots in it
}

// calendarDay is a day; the zero value is of another month.
type calendarDay struct {
	At      time.Time
	Count   int
	Heat    int    // how many that is, from 0 (none) to 4
	Damaged int    // of them
	Link    string // empty: there is none to show
	Today   bool
}

const (
	monthForm = "2006-01"
	dayForm   = "2006-01-02"
)

// monthOf is the month that a request asks for, as its first moment; false: none.
func monthOf(r *http.Request) (time.Time, bool) {
	t, err := time.ParseInLocation(monthForm, r.URL.Query().Get("month"), time.Local)
	return t, err == nil
}

func firstOf(t time.Time) time.Time {
	y, m, _ := t.Local().Date()
	return time.Date(y, m, 1, 0, 0, 0, 0, time.Local)
}

// calendarOf makes the calendar of a month. shown tells whether the list below it
// shows the snapshots of a day; others are shown with their month.
func calendarOf(all []store.Snapshot, month, now time.Time, chosen bool, shown func(time.Time) bool) calendar {
	c := calendar{Month: month, Newest: !chosen}
	type sum struct{ count, damaged int }
	days := map[string]sum{}
	for _, s := range all {
		switch at := firstOf(s.Time); {
		case at.Before(month):
			c.Earlier = monthLink(at) // of the nearest: they come in the order of time
		case at.After(month):
			if c.Later == "" {
				c.Later = monthLink(at)
			}
		default:
			d := days[s.Time.Local().Format(dayForm)]
			d.count++
			if s.Damaged != "" {
				d.damaged++
			}
			days[s.Time.Local().Format(dayForm)] = d
			c.Count++
		}
	}
	at := month.AddDate(0, 0, -(int(month.Weekday())+6)%7) // weeks begin with Monday (ISO 8601)
	for at.Before(month.AddDate(0, 1, 0)) {
		var week [7]calendarDay
		for i := range week {
			if at.Month() == month.Month() {
				key := at.Format(dayForm)
				d := calendarDay{At: at, Count: days[key].count, Damaged: days[key].damaged, Today: key == now.Local().Format(dayForm)}
				d.Heat = heat(d.Count)
				if d.Count > 0 {
					d.Link = "#d" + key
					if !shown(at) {
						d.Link = monthLink(month) + d.Link
					}
				}
				week[i] = d
			}
			at = at.AddDate(0, 0, 1)
		}
		c.Weeks = append(c.Weeks, week)
	}
	return c
}

func monthLink(month time.Time) string { return Prefix + "snapshots?month=" + month.Format(monthForm) }

// heat is how many snapshots a day has, in steps that tell quiet days from busy ones.
func heat(n int) int {
	switch {
	case n == 0:
		return 0
	case n == 1:
		return 1
	case n <= 4:
		return 2
	case n <= 12:
		return 3
	}
	return 4
}
