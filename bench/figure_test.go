package main

import (
	"errors"
	"math"
	"slices"
	"testing"
)

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   figure
		spread float64
	}{
		{"one value", []float64{7}, figure{7, 7, 7, 1}, 0},
		{"an odd number of values, not sorted", []float64{9, 1, 5}, figure{5, 1, 9, 3}, 0.8},
		{"an even number: the mean of the middle two", []float64{4, 1, 2, 100}, figure{3, 1, 100, 4}, 16.5},
		{"a median of zero has no relative spread", []float64{-1, 0, 1}, figure{0, -1, 1, 3}, 0},
		{"a spread is positive", []float64{-1, -2, -3}, figure{-2, -3, -1, 3}, 0.5},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.values)
			got, err := figureOf(c.values...)
			if err != nil || got != c.want {
				t.Errorf("figureOf = %+v, %v; want %+v", got, err, c.want)
			}
			if got.spread() != c.spread {
				t.Errorf("spread = %v, want %v", got.spread(), c.spread)
			}
			if !slices.Equal(before, c.values) {
				t.Errorf("the values were changed to %v", c.values)
			}
		})
	}
}

func TestFigureRefused(t *testing.T) {
	if _, err := figureOf(); !errors.Is(err, errNoValues) {
		t.Errorf("a figure of nothing: %v, want %v", err, errNoValues)
	}
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if f, err := figureOf(1, bad); err == nil {
			t.Errorf("a figure of %v: %+v, want an error", bad, f)
		}
	}
}

func TestPercentile(t *testing.T) {
	fifty := make([]int, 50)
	for i := range fifty {
		fifty[i] = i + 1
	}
	for _, c := range []struct {
		sorted []int
		p      float64
		want   int
	}{
		{[]int{3}, 50, 3},
		{[]int{3}, 99, 3},
		{[]int{1, 2}, 50, 1}, // half the values do not exceed 1
		{[]int{1, 2, 3}, 50, 2},
		{fifty, 0, 1},
		{fifty, 50, 25},
		{fifty, 98, 49},
		{fifty, 99, 50}, // 49 of 50 are but 98 percent
		{fifty, 100, 50},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %v of %d values = %d, want %d", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestRatios(t *testing.T) {
	got, err := ratios([]float64{2, 9}, []float64{4, 3})
	if err != nil || !slices.Equal(got, []float64{0.5, 3}) {
		t.Errorf("ratios = %v, %v; want each round by itself", got, err)
	}
	if _, err := ratios([]float64{1, 2}, []float64{1}); err == nil {
		t.Error("rounds of different number were compared")
	}
	if _, err := ratios([]float64{1}, []float64{0}); err == nil {
		t.Error("a ratio to zero was taken")
	}
}
