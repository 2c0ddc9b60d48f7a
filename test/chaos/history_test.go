package chaos

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// The store of crashgw is a set of lists. Each list is one sequential object,
// and a history of what its clients did and saw is right if there is an order of
// the operations, each at one instant between its call and its answer, that
// explains every answer (linearizability: Herlihy and Wing, 1990). Since a list
// shows all that was ever added, in order, a value that was added twice, one that
// was acknowledged and is lost, and an answer of a second instance with a state
// of its own have no such order.
//
// The search for one is porcupine's. What it cannot see, two instances that live
// at the same time without answering wrongly, is lives_test.go's.

// What came of an operation.
const (
	answered   = "answered"   // with the list
	duplicate  = "duplicate"  // it was added by an earlier attempt; the list came with the answer
	unknown    = "unknown"    // it may have been executed, once, at any time from its call on
	notApplied = "notApplied" // creel said that it has not reached the gateway, or nobody was connected to
)

// operation is what one client did to a list.
type operation struct {
	Client int      `json:"client"`
	List   string   `json:"list"`
	Kind   string   `json:"kind"` // add, put (add unless there), read
	Value  string   `json:"value,omitempty"`
	Call   int64    `json:"call"`   // monotonic, nanoseconds
	Return int64    `json:"return"` // likewise
	Result string   `json:"result"`
	Values []string `json:"values,omitempty"` // the list, if it was told
	Keyed  bool     `json:"keyed,omitempty"`  // with an idempotency key
	Code   string   `json:"code,omitempty"`   // of a problem document
	Why    string   `json:"why,omitempty"`    // it was not told
}

// step is one operation for the checker.
type step struct {
	kind  string
	value string
	seen  string // the list afterwards, joined
	blind bool   // the list was not told
}

// stepText is how a list is written as one text; values hold no comma.
func stepText(values []string) string { return strings.Join(values, ",") }

// listModel is one list.
var listModel = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, _ any) (bool, any) {
		list, s := state.(string), input.(step)
		switch {
		case s.kind == "add", s.kind == "put" && !slices.Contains(strings.Split(list, ","), s.value):
			if list != "" {
				list += ","
			}
			list += s.value
		}
		return s.blind || s.seen == list, list
	},
	DescribeOperation: func(input, _ any) string {
		s := input.(step)
		if s.blind {
			return fmt.Sprintf("%s(%s)", s.kind, s.value)
		}
		return fmt.Sprintf("%s(%s) -> [%s]", s.kind, s.value, s.seen)
	},
}

// searchTime bounds the search for an order in one list. It takes milliseconds
// unless there are many operations without an answer at the same time.
const searchTime = 30 * time.Second

// checkHistory tells what is wrong with a history. It ends with a read of every
// list, which finds what was lost.
func checkHistory(history []operation) error {
	lists := map[string][]operation{}
	for _, o := range history {
		lists[o.List] = append(lists[o.List], o)
	}
	for name, list := range lists {
		switch porcupine.CheckOperationsTimeout(listModel, steps(list), searchTime) {
		case porcupine.Ok:
		case porcupine.Unknown:
			return fmt.Errorf("list %s: no verdict within %v; there are too many operations without an answer", name, searchTime)
		case porcupine.Illegal:
			return fmt.Errorf("list %s: no order of the operations explains what clients saw:\n%s", name, describe(list))
		}
	}
	return nil
}

// steps gives the history in the checker's terms.
func steps(list []operation) []porcupine.Operation {
	seen := map[string]bool{}
	for _, o := range list {
		for _, v := range o.Values {
			seen[v] = true
		}
	}
	var out []porcupine.Operation
	add := func(o operation, s step, ret int64) {
		out = append(out, porcupine.Operation{ClientId: len(out), Input: s, Call: o.Call, Return: ret})
	}
	for _, o := range list {
		switch o.Result {
		case answered:
			add(o, step{kind: o.Kind, value: o.Value, seen: stepText(o.Values)}, o.Return)
		case duplicate:
			// The value came with an earlier attempt, perhaps much before the
			// list was looked at: two instants of the same operation.
			add(o, step{kind: o.Kind, value: o.Value, blind: true}, o.Return)
			add(o, step{kind: "read", seen: stepText(o.Values)}, o.Return)
		case unknown:
			// It has all the time there is, for the gateway may still have it.
			// One that nobody has ever seen done explains nothing.
			if seen[o.Value] {
				add(o, step{kind: o.Kind, value: o.Value, blind: true}, math.MaxInt64)
			}
		}
	}
	return out
}

func describe(list []operation) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintf(&b, "  %d..%d client %d: %s(%s) %s [%s] %s\n", (o.Call-list[0].Call)/1000, (o.Return-list[0].Call)/1000, o.Client, o.Kind, o.Value, o.Result, stepText(o.Values), o.Why)
	}
	return b.String()
}
