package ui

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"creel/internal/history"
)

// chart is a small line over time. Text says in words what the picture shows.
type chart struct {
	Name   string
	Now    string // the newest value
	Top    string // what the upper edge stands for
	Text   string
	Line   template.HTMLAttr // path data; template.HTMLAttr because it is made of numbers alone
	Area   template.HTMLAttr
	Marks  []string // places on the x axis where another instance began
	Empty  bool
	Tone   string
	Begins string // what the left edge stands for
}

// The box that charts are drawn in; it is stretched to its place.
const (
	chartWidth  = 300.0
	chartHeight = 60.0
)

// point is a value at a time; what is not known leaves a gap.
type point struct {
	at         time.Time
	value      float64
	known      bool
	generation uint64
}

// charts draws what was measured.
func charts(now time.Time, samples []history.Sample, span time.Duration) []chart {
	of := func(value func(history.Sample) (float64, bool)) []point {
		list := make([]point, len(samples))
		for i, s := range samples {
			v, ok := value(s)
			list[i] = point{s.At, v, ok, s.Generation}
		}
		return list
	}
	memory := of(func(s history.Sample) (float64, bool) { return float64(s.Memory), s.Used })
	cpu := of(func(s history.Sample) (float64, bool) { return s.CPU * 100, s.Used })
	requests := of(func(s history.Sample) (float64, bool) { return s.Requests, true })
	list := []chart{
		draw("Memory", now, span, memory, func(v float64) string { return size(int64(v)) }, 64<<20),
		draw("Processor", now, span, cpu, func(v float64) string { return fmt.Sprintf("%.0f %%", v) }, 10),
		draw("Requests", now, span, requests, perSecond, 1),
	}
	failed := 0.0
	for _, s := range samples {
		failed = max(failed, s.Failed)
	}
	if failed > 0 {
		list[2].Text += fmt.Sprintf(" Up to %s failed.", perSecond(failed))
	}
	return list
}

func perSecond(v float64) string {
	if v > 0 && v < 10 {
		return fmt.Sprintf("%.1f /s", v)
	}
	return fmt.Sprintf("%.0f /s", v)
}

// draw makes a chart whose upper edge is at least floor.
func draw(name string, now time.Time, span time.Duration, points []point, say func(float64) string, floor float64) chart {
	c := chart{Name: name, Empty: true, Begins: begins(span)}
	low, high, newest := math.Inf(1), 0.0, point{}
	for _, p := range points {
		if p.known {
			low, high, c.Empty = min(low, p.value), max(high, p.value), false
		}
		newest = p
	}
	if c.Empty {
		c.Now, c.Text = "–", name+": nothing was measured in the last "+spanWords(span)+"."
		return c
	}
	c.Now = "–"
	if newest.known {
		c.Now = say(newest.value)
	}
	top := roof(max(high, floor))
	c.Top = say(top)
	c.Text = fmt.Sprintf("%s: now %s; between %s and %s in the last %s.", name, strings.Replace(c.Now, "–", "not known", 1), say(low), say(high), spanWords(span))
	var line, area strings.Builder
	x := func(t time.Time) float64 { return chartWidth * (1 - now.Sub(t).Seconds()/span.Seconds()) }
	y := func(v float64) float64 { return chartHeight - v/top*(chartHeight-2) - 1 }
	open, first, last := false, 0.0, 0.0
	end := func() {
		if open {
			fmt.Fprintf(&area, "L%.1f %.0fL%.1f %.0fZ", last, chartHeight, first, chartHeight)
		}
		open = false
	}
	var before point
	for _, p := range points {
		if p.generation != 0 && before.generation != 0 && p.generation != before.generation {
			c.Marks = append(c.Marks, fmt.Sprintf("%.1f", x(p.at)))
		}
		if !p.known {
			end()
		} else {
			verb := "L"
			if !open {
				verb, open, first = "M", true, x(p.at)
			}
			last = x(p.at)
			fmt.Fprintf(&line, "%s%.1f %.1f", verb, last, y(p.value))
			fmt.Fprintf(&area, "%s%.1f %.1f", verb, last, y(p.value))
		}
		if p.generation != 0 {
			before = p
		}
	}
	end()
	c.Line, c.Area = template.HTMLAttr(`d="`+line.String()+`"`), template.HTMLAttr(`d="`+area.String()+`"`)
	if n := len(c.Marks); n > 0 {
		c.Text += fmt.Sprintf(" Another instance began %d times.", n)
		if n == 1 {
			c.Text = strings.Replace(c.Text, "1 times", "once", 1)
		}
	}
	return c
}

// roof is a round number that is not below v: the scale of a chart must not
// wander with each sample.
func roof(v float64) float64 {
	p := math.Pow(2, math.Floor(math.Log2(v)))
	for _, f := range []float64{1, 1.25, 1.5, 2} {
		if p*f >= v {
			return p * f
		}
	}
	return 2 * p
}

func spanWords(d time.Duration) string {
	switch d {
	case time.Hour:
		return "hour"
	case 24 * time.Hour:
		return "24 hours"
	}
	return span(d)
}

// begins says when a span of time began.
func begins(d time.Duration) string {
	if d == time.Hour {
		return "1 hour ago"
	}
	return spanWords(d) + " ago"
}
