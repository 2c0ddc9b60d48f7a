package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is all that a run has found.
type report struct {
	Machine    machine
	Creel      string // what `creel version` says
	Date       time.Time
	Took       time.Duration
	Quick      bool
	Plan       plan
	Others     []float64 // part of the machine that others used before each measurement, 0 to 1
	Sections   []section
	Unmeasured []string // names of measurements that failed
}

// section is what one measurement has found.
type section struct {
	Name, Title string
	Rows        []row
	Compared    *comparison // in place of rows
}

// row is one quantity.
type row struct {
	What, Unit string
	Creel      figure
	Peer       *figure // nil: there is nothing to compare with
	Ratio      *figure // of creel to the peer
	Bar        *bar    // nil: there is none
}

// What a bar is held against.
type barOf int

const (
	barValue barOf = iota // creel's figure, in the row's unit
	barRatio              // the ratio
)

// bar is what is not to be exceeded.
type bar struct {
	Limit float64
	Of    barOf
}

func (b *bar) String() string {
	if b == nil {
		return ""
	}
	if b.Of == barRatio {
		return "≤ " + strconv.FormatFloat(b.Limit, 'g', -1, 64) + "×"
	}
	return "≤ " + strconv.FormatFloat(b.Limit, 'g', -1, 64)
}

// Met says whether the row's bar was met; nothing if it has none.
func (r row) Met() string {
	if r.Bar == nil {
		return ""
	}
	value := r.Creel.Median
	if r.Bar.Of == barRatio {
		if r.Ratio == nil {
			return "?"
		}
		value = r.Ratio.Median
	}
	if value <= r.Bar.Limit {
		return "yes"
	}
	return "no"
}

// String gives the median in three digits and, if there was more than one
// value, the spread.
func (f *figure) String() string {
	if f == nil {
		return ""
	}
	if f.N < 2 {
		return digits(f.Median)
	}
	return fmt.Sprintf("%s ±%.0f%%", digits(f.Median), 100*f.spread())
}

// RatioText is the ratio with its sign.
func (r row) RatioText() string {
	if r.Ratio == nil {
		return ""
	}
	text := strconv.FormatFloat(r.Ratio.Median, 'f', 2, 64) + "×"
	if r.Ratio.N > 1 {
		text += fmt.Sprintf(" ±%.0f%%", 100*r.Ratio.spread())
	}
	return text
}

// digits gives a number with three digits that mean something.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 99.95:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// Missed are the rows whose bar was not met.
func (r report) Missed() []string {
	var missed []string
	for _, s := range r.Sections {
		for _, row := range s.Rows {
			if row.Met() == "no" {
				missed = append(missed, fmt.Sprintf("%s: %s", s.Title, row.What))
			}
		}
		if s.Compared == nil {
			continue
		}
		for _, row := range s.Compared.Rows {
			if row.missed() {
				missed = append(missed, fmt.Sprintf("%s: %s", s.Title, row.What))
			}
		}
	}
	return missed
}

// Header says in lines what the figures are of.
func (r report) Header() []string {
	lines := []string{
		fmt.Sprintf("%s, %d cores, %.0f GB of memory", r.Machine.CPU, r.Machine.Cores, float64(r.Machine.Memory)/1e9),
		fmt.Sprintf("Linux %s, %s, load average before the run %.2f", r.Machine.Kernel, r.Machine.Go, r.Machine.Load),
		r.Creel,
		r.disturbance(),
		fmt.Sprintf("%s, in %v", r.Date.Format("2 January 2006"), r.Took.Round(time.Second)),
	}
	if r.Quick {
		lines = append(lines, "a quick run: expect wide spreads")
	}
	return lines
}

// quietEnough is the part of the machine that others may use without a remark.
const quietEnough = 0.05

// disturbance says what else the machine had to do.
func (r report) disturbance() string {
	if len(r.Others) == 0 {
		return "nothing was measured"
	}
	most := slices.Max(r.Others)
	text := fmt.Sprintf("others used %.0f%% of the machine between measurements, %.0f%% at most", 100*median(r.Others), 100*most)
	if most > quietEnough {
		text += ": it was not quiet, and the spreads are wider for it"
	}
	return text
}

// table is the report for a terminal.
func (r report) table() string {
	var b strings.Builder
	for _, l := range r.Header() {
		b.WriteString(l + "\n")
	}
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0) // writes to a Builder, which takes everything
	for _, s := range r.Sections {
		if s.Compared != nil {
			s.Compared.print(t, s.Title)
			continue
		}
		fmt.Fprintf(t, "\n%s\tunit\tcreel\tReverseProxy\tratio\tbar\tmet\n", strings.ToUpper(s.Title))
		for _, row := range s.Rows {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.What, row.Unit, &row.Creel, row.Peer, row.RatioText(), row.Bar, row.Met())
		}
	}
	_ = t.Flush() // the same
	if len(r.Unmeasured) > 0 {
		fmt.Fprintf(&b, "\nNOT MEASURED: %s\n", strings.Join(r.Unmeasured, ", "))
	}
	return b.String()
}
