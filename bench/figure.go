package main

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// figure is a quantity that was measured once or several times.
type figure struct {
	Median, Low, High float64
	N                 int // measurements that it is made of
}

var errNoValues = errors.New("nothing was measured")

// figureOf sums values up. Nothing, and what is not a number, is an error: it
// would print as a figure.
func figureOf(values ...float64) (figure, error) {
	if len(values) == 0 {
		return figure{}, errNoValues
	}
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return figure{}, fmt.Errorf("cannot use the value %v", v)
		}
	}
	return figure{Median: median(values), Low: slices.Min(values), High: slices.Max(values), N: len(values)}, nil
}

// spread is half the distance between the lowest and the highest value, as a
// part of the median.
func (f figure) spread() float64 {
	if f.Median == 0 {
		return 0
	}
	return (f.High - f.Low) / 2 / math.Abs(f.Median)
}

// median is the middle value, or the mean of the two in the middle. values must
// not be empty.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	m := len(s) / 2
	if len(s)%2 == 1 {
		return s[m]
	}
	return (s[m-1] + s[m]) / 2
}

// percentile is the smallest value that at least p percent of the values do not
// exceed (the nearest-rank method, so that it is a value that occurred).
// sorted must be in ascending order and not empty.
func percentile[T any](sorted []T, p float64) T {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// ratios divides value by value: what the two sides did in the same round.
func ratios(over, under []float64) ([]float64, error) {
	if len(over) != len(under) {
		return nil, fmt.Errorf("cannot compare %d rounds with %d", len(over), len(under))
	}
	r := make([]float64, len(over))
	for i := range over {
		if under[i] == 0 {
			return nil, fmt.Errorf("cannot compare with zero, in round %d", i+1)
		}
		r[i] = over[i] / under[i]
	}
	return r, nil
}
