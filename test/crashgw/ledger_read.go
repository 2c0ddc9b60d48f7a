package crashgw

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// Ledger is what a ledger file says.
type Ledger struct {
	Entries []Entry // in the order in which they were written
	Torn    int     // lines cut off by the death of their process; never answered
}

// ReadLedger reads a ledger file, which may be in use. A last line without its
// end is being written and is left out. The error wraps os.ErrNotExist if no
// crashgw has used the file yet.
func ReadLedger(path string) (Ledger, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Ledger{}, fmt.Errorf("cannot read the ledger: %w", err)
	}
	return parseLedger(b), nil
}

func parseLedger(b []byte) Ledger {
	var l Ledger
	b = b[:bytes.LastIndexByte(b, '\n')+1]
	for line := range bytes.Lines(b) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil || e.Kind == "" {
			l.Torn++
			continue
		}
		l.Entries = append(l.Entries, e)
	}
	return l
}

// Executions counts the lines per id that were executed.
func (l Ledger) Executions() map[string]int {
	n := make(map[string]int)
	for _, e := range l.Entries {
		if e.Kind == KindExecuted {
			n[e.ID]++
		}
	}
	return n
}

// ExecutedTwice gives the ids, sorted, that were executed more than once by the
// given methods, or by any method if none is given.
func (l Ledger) ExecutedTwice(methods ...string) []string {
	n := make(map[string]int)
	for _, e := range l.Entries {
		if e.Kind == KindExecuted && (len(methods) == 0 || slices.Contains(methods, e.Method)) {
			n[e.ID]++
		}
	}
	var ids []string
	for id, times := range n {
		if times > 1 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
