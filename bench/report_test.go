package main

import (
	"strings"
	"testing"
)

func TestMet(t *testing.T) {
	ratio := &figure{Median: 1.2, N: 1}
	for _, c := range []struct {
		name string
		row  row
		want string
	}{
		{"no bar", row{Creel: figure{Median: 5}}, ""},
		{"within", row{Creel: figure{Median: 5}, Bar: &bar{5, barValue}}, "yes"},
		{"above", row{Creel: figure{Median: 5.1}, Bar: &bar{5, barValue}}, "no"},
		{"ratio within, whatever the value", row{Creel: figure{Median: 9}, Ratio: ratio, Bar: &bar{1.2, barRatio}}, "yes"},
		{"ratio above", row{Creel: figure{Median: 0}, Ratio: ratio, Bar: &bar{1.15, barRatio}}, "no"},
		{"a bar on a ratio that there is not", row{Bar: &bar{1.15, barRatio}}, "?"},
	} {
		if got := c.row.Met(); got != c.want {
			t.Errorf("%s: met = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDigits(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 0.123: "0.12", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 12345.6: "12346", -1.5: "-1.50",
	} {
		if got := digits(v); got != want {
			t.Errorf("digits(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	r := report{Creel: "creel v9", Quick: true, Unmeasured: []string{"bulk"}, Sections: []section{{Name: "pass", Title: "Small answers", Rows: []row{
		{What: "CPU", Unit: "µs", Creel: figure{30, 27, 33, 5}, Peer: &figure{20, 20, 20, 5}, Ratio: &figure{1.5, 1.5, 1.5, 5}, Bar: passBar},
		{What: "alone", Unit: "ms", Creel: figure{3, 3, 3, 1}},
	}}}}
	got := r.table()
	for _, want := range []string{"creel v9", "quick run", "SMALL ANSWERS", "30.0 ±10%", "20.0 ±0%", "1.50× ±0%", "≤ 1.15×", "no", "3.00 ", "NOT MEASURED: bulk"} {
		if !strings.Contains(got, want) {
			t.Errorf("the table has no %q:\n%s", want, got)
		}
	}
}

func TestDisturbance(t *testing.T) {
	quiet := report{Others: []float64{0.01, 0.04, 0.02}}.disturbance()
	if !strings.Contains(quiet, "others used 2% of the machine") || !strings.Contains(quiet, "4% at most") || strings.Contains(quiet, "not quiet") {
		t.Errorf("of a quiet machine: %q", quiet)
	}
	if loud := (report{Others: []float64{0.01, 0.4}}).disturbance(); !strings.Contains(loud, "not quiet") {
		t.Errorf("of a busy machine: %q", loud)
	}
}

// A sentence of the document whose figure is not there is an error.
func TestDocumentWithoutFigures(t *testing.T) {
	if text, err := (report{}).document(); err == nil {
		t.Errorf("a document of nothing:\n%s", text)
	}
}
