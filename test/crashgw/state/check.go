package state

import (
	"fmt"
	"strings"
)

// Place is what one place holds.
type Place struct {
	Name string
	N    int64
}

// BrokenError says that a copy is not of one instant.
type BrokenError struct{ Places []Place }

func (e *BrokenError) Error() string {
	var b strings.Builder
	b.WriteString("the state is not of one instant:")
	for _, p := range e.Places {
		fmt.Fprintf(&b, " %s=%d", p.Name, p.N)
	}
	return b.String()
}

// Check looks whether a state folder is as it was at one instant, and gives the
// number of its last transaction, finished or not. It opens the databases, which
// recovers them, so it must not be called for the state of a running process.
// The error is *BrokenError if the places do not belong together.
func Check(dir string) (int64, error) {
	places, err := State{dir}.places()
	if err != nil {
		return 0, fmt.Errorf("cannot read the state in %s: %w", dir, err)
	}
	for i := 1; i < len(places); i++ {
		if places[i].N > places[i-1].N {
			return 0, &BrokenError{places}
		}
	}
	if places[0].N-places[len(places)-1].N > 1 {
		return 0, &BrokenError{places}
	}
	return places[0].N, nil
}

// places reads all places in the order of the steps.
func (s State) places() ([]Place, error) {
	begin, end, err := s.readJournal()
	if err != nil {
		return nil, err
	}
	var dbs []int64
	for _, d := range databases {
		n, err := d.number(s)
		if err != nil {
			return nil, err
		}
		dbs = append(dbs, n)
	}
	head, tail, err := s.readBlocks()
	if err != nil {
		return nil, err
	}
	doc, err := s.readDocument()
	if err != nil {
		return nil, err
	}
	mapped, err := s.readMapped()
	if err != nil {
		return nil, err
	}
	cursor, err := s.readTruncated()
	if err != nil {
		return nil, err
	}
	newest, oldest, err := s.readFiles()
	if err != nil {
		return nil, err
	}
	places := []Place{
		{"journal-begin", begin}, {"devices", dbs[0]}, {"block-head", head}, {"sessions", dbs[1]},
		{"document", doc}, {"mapped", mapped}, {"quarantine", dbs[2]},
	}
	if cursor >= 0 {
		places = append(places, Place{"cursor", cursor})
	}
	return append(places, Place{"queue-newest", newest}, Place{"queue-oldest", oldest},
		Place{"block-tail", tail}, Place{"journal-end", end}), nil
}
