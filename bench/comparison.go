package main

import (
	"fmt"
	"io"
	"strings"
)

// comparison is a table of what several contestants did, creel first.
type comparison struct {
	Names    []string // the columns
	Rows     []comparisonRow
	Versions []string // what the others are, a line each
}

// comparisonRow is one quantity.
type comparisonRow struct {
	What, Unit string
	Figures    []figure // a column each; of those that have none, N is 0
	Bar        *bar     // for creel's; nil: there is none
}

// Cells are the figures in text. Behind those of the others stands creel's, divided
// by them; where either is nothing there is no such number.
func (r comparisonRow) Cells() []string {
	cells := make([]string, len(r.Figures))
	for i, f := range r.Figures {
		if f.N == 0 {
			cells[i] = "–"
			continue
		}
		cells[i] = plainDigits(f.Median)
		if i > 0 && f.Median != 0 && r.Figures[0].Median != 0 {
			cells[i] += fmt.Sprintf(" (%s×)", digits(r.Figures[0].Median/f.Median))
		}
	}
	return cells
}

// plainDigits leaves a zero alone: it is one, not a small number.
func plainDigits(v float64) string {
	if v == 0 {
		return "0"
	}
	return digits(v)
}

// row adds a quantity, of which values has those of each contestant.
func (c *comparison) row(what, unit string, values ...[]float64) error {
	r := comparisonRow{What: what, Unit: unit}
	for i, v := range values {
		f, err := figureOf(v...)
		if err != nil {
			return fmt.Errorf("cannot report %q of %s: %w", what, c.Names[i], err)
		}
		r.Figures = append(r.Figures, f)
	}
	c.Rows = append(c.Rows, r)
	return nil
}

// barred is row with a bar for creel's figure.
func (c *comparison) barred(what, unit string, b *bar, values ...[]float64) error {
	if err := c.row(what, unit, values...); err != nil {
		return err
	}
	c.Rows[len(c.Rows)-1].Bar = b
	return nil
}

// ownRow adds a quantity that the others have not, because they do no such thing.
func (c *comparison) ownRow(what, unit string, b *bar, value float64) error {
	f, err := figureOf(value)
	if err != nil {
		return fmt.Errorf("cannot report %q: %w", what, err)
	}
	r := comparisonRow{What: what, Unit: unit, Figures: make([]figure, len(c.Names)), Bar: b}
	r.Figures[0] = f
	c.Rows = append(c.Rows, r)
	return nil
}

// Title is the quantity, with its bar if it has one.
func (r comparisonRow) Title() string {
	if r.Bar == nil {
		return r.What
	}
	return fmt.Sprintf("%s (bar: %s)", r.What, r.Bar)
}

// missed says whether creel's figure exceeds the bar.
func (r comparisonRow) missed() bool { return r.Bar != nil && r.Figures[0].Median > r.Bar.Limit }

// print writes it for a terminal, in cells that tabs part.
func (c *comparison) print(w io.Writer, title string) {
	fmt.Fprintf(w, "\n%s\tunit\t%s\n", strings.ToUpper(title), strings.Join(c.Names, "\t"))
	for _, r := range c.Rows {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.Title(), r.Unit, strings.Join(r.Cells(), "\t"))
	}
	for _, v := range c.Versions {
		fmt.Fprintf(w, "%s\n", v)
	}
}
