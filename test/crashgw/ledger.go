package crashgw

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Kind says what a ledger line records.
type Kind string

// The kinds of ledger lines.
const (
	KindExecuted Kind = "executed" // /item did its work
	KindRepeat   Kind = "repeat"   // /item knew the idempotency key and did nothing
	KindDeath    Kind = "death"    // a die= with times= that is about to happen
)

// Entry is one line of the ledger, in JSON.
type Entry struct {
	Time       time.Time `json:"time"`
	PID        int       `json:"pid"`
	Generation string    `json:"generation,omitempty"` // $CREEL_GENERATION of the process
	Kind       Kind      `json:"kind"`
	Method     string    `json:"method"`
	ID         string    `json:"id"`
	Key        string    `json:"key,omitempty"` // Idempotency-Key
	SHA256     string    `json:"sha256"`        // of the request's body, hexadecimal
	Bytes      int64     `json:"bytes"`         // of the request's body
}

// ledger is the writing side.
type ledger struct {
	file   *lineFile
	keys   map[string]bool  // idempotency keys of executed lines
	deaths map[string]int64 // death lines by id
}

// openLedger opens or creates the file. The index is built when it is first
// asked for, so that a long ledger costs nothing at boot.
func openLedger(path string) (*ledger, error) {
	f, err := openLines(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the ledger: %w", err)
	}
	return &ledger{file: f, keys: make(map[string]bool), deaths: make(map[string]int64)}, nil
}

// record writes the line of an executed request or, if keyed and the key is
// known, of a repeat. It tells which.
func (l *ledger) record(ctx context.Context, e Entry, keyed bool) (repeat bool, err error) {
	err = l.file.locked(ctx, func() error {
		if keyed {
			if err := l.catchUp(); err != nil {
				return err
			}
			if l.keys[e.Key] {
				repeat = true
				e.Kind = KindRepeat
			}
		}
		return l.append(e)
	})
	return repeat, err
}

// recordDeath writes the line of a death unless the id has died so many times
// already. It tells whether it did.
func (l *ledger) recordDeath(ctx context.Context, e Entry, times int64) (dies bool, err error) {
	err = l.file.locked(ctx, func() error {
		if err := l.catchUp(); err != nil {
			return err
		}
		if l.deaths[e.ID] >= times {
			return nil
		}
		dies = true
		return l.append(e)
	})
	return dies, err
}

// append writes one line. The lock is held.
func (l *ledger) append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cannot encode a ledger line: %w", err)
	}
	return l.file.append(line)
}

// catchUp brings the index up to what all processes have written. The lock is
// held. Lines without a key and no death are not decoded: they are the many.
func (l *ledger) catchUp() error {
	return l.file.catchUp(func(line []byte) {
		if !bytes.Contains(line, []byte(`"key":`)) && !bytes.Contains(line, []byte(`"kind":"death"`)) {
			return
		}
		var e Entry
		if json.Unmarshal(line, &e) != nil {
			return // torn: never answered
		}
		switch e.Kind {
		case KindExecuted:
			l.keys[e.Key] = true
		case KindDeath:
			l.deaths[e.ID]++
		}
	})
}
