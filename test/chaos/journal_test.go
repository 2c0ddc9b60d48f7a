package chaos

import (
	"fmt"
	"slices"

	"creel/internal/event"
)

// checkJournal tells whether the journal tells one life after the other:
//
//   - numbers grow by one;
//   - generations that are begun grow. A number is begun again only if the creel
//     that had said so died before it had written it down: nothing ran under it;
//   - each generation that is begun comes to an end (exited, killed, start_failed)
//     or is the present one. A creel that dies, or hands over, while it starts one
//     cannot say so: there the next creel_started, or upgraded, is the end, if the
//     instance was never ready and the next creel has not found it. Neither has one an end to tell
//     whose record could not be trusted, nor need those in untold have one;
//   - nothing is told of a generation after its end but that it is cleared away,
//     and, by another creel, that it has ended. A new generation is begun only
//     after the end of the one before.
func checkJournal(events []event.Event, present uint64, untold map[uint64]bool) error {
	j := &journal{untold: untold}
	for n, e := range events {
		if n > 0 && e.Seq != events[n-1].Seq+1 {
			return fmt.Errorf("event %d follows event %d", e.Seq, events[n-1].Seq)
		}
		if err := j.take(e); err != nil {
			return fmt.Errorf("event %d (%s, generation %d, %q): %w", e.Seq, e.Kind, e.Generation, e.Message, err)
		}
	}
	if j.generation != present {
		return fmt.Errorf("the journal is at generation %d, the gateway at %d", j.generation, present)
	}
	if j.ended {
		return fmt.Errorf("the journal tells of the end of generation %d, which runs", present)
	}
	return nil
}

// journal is where the tale has got to.
type journal struct {
	generation uint64 // the latest that was begun; 0: none
	seen       bool   // it was ready or was taken over: it ran
	ended      bool   // its end was told
	untold     map[uint64]bool
	cutShort   bool // nobody is left who could tell of its end
}

// after are the kinds that may follow the end of a generation: they tell how it
// is cleared away, and what comes instead.
var after = []event.Kind{event.Killed, event.Stopping, event.Stopped, event.Backoff, event.Failed, event.Poisoned, event.Replayed}

func (j *journal) take(e event.Event) error {
	switch {
	case e.Kind == event.CreelStarted, e.Kind == event.Upgraded:
		j.cutShort = !j.seen && !j.ended
		return nil
	case e.Kind == event.RecordRefused:
		j.cutShort = true
		return nil
	case e.Generation == 0, e.Kind == event.Stray, e.Cause == "stray": // what runs unrecorded has no generation of its own
		return nil
	case e.Kind == event.Starting:
		return j.begin(e.Generation)
	case e.Generation > j.generation:
		// Its beginning was not written any more; that it runs says it all.
		if e.Kind != event.Adopted && e.Kind != event.Exited {
			return fmt.Errorf("the latest generation that was begun is %d", j.generation)
		}
		if err := j.begin(e.Generation); err != nil {
			return err
		}
	case e.Generation < j.generation:
		if slices.Contains(after, e.Kind) {
			return nil
		}
		return fmt.Errorf("generation %d was begun already", j.generation)
	}
	switch e.Kind {
	case event.Exited, event.StartFailed:
		j.ended = true
	case event.Killed:
		j.ended = true
	case event.Ready, event.Adopted, event.Suspect, event.Cleared, event.Draining:
		if j.ended {
			return fmt.Errorf("it had ended")
		}
		j.seen, j.cutShort = true, false
	}
	return nil
}

func (j *journal) begin(generation uint64) error {
	switch {
	case generation < j.generation, generation == j.generation && !j.cutShort:
		return fmt.Errorf("generation %d was begun already", j.generation)
	case j.generation != 0 && !j.ended && !j.cutShort && !j.untold[j.generation]:
		return fmt.Errorf("generation %d has not ended", j.generation)
	}
	*j = journal{generation: generation, untold: j.untold}
	return nil
}
