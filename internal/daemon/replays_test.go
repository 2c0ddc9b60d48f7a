package daemon

import (
	"testing"
	"testing/synctest"
	"time"

	"creel/internal/event"
)

type notes []event.Event

func (n *notes) Record(e event.Event) { *n = append(*n, e) }

// TestReplayBursts: however many requests are sent again at once, the journal has
// one event of it, and none is lost at the end.
func TestReplayBursts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told notes
		r := &replays{journal: &told, gateway: "g"}
		for range 300 {
			r.add()
		}
		time.Sleep(burstTime + time.Second) // of the bubble's clock
		r.add()
		r.end()
		r.add() // what comes too late is counted elsewhere
		time.Sleep(2 * burstTime)
		if len(told) != 2 || told[0].Fields["requests"] != 300 || told[1].Fields["requests"] != 1 || told[0].Kind != event.Replayed {
			t.Errorf("told: %+v", told)
		}
	})
}
