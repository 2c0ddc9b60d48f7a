package gateway

import (
	"errors"
	"time"

	"creel/internal/runtime"
)

// relookPause is the time between two looks for an instance, while they fail.
const relookPause = 5 * time.Second

// look is what a look for an instance has come to.
type look struct {
	inst   runtime.Instance // nil: none is recorded
	err    error
	strays []runtime.Stray // that run beside it
}

// lookAgain looks once more for what an earlier creel has left, since a look has failed,
// as it does while creel can open no file. Each launch looks, too; but of a gateway that
// nobody wants there is none, and what a person has stopped would run on, unwatched, for
// as long as creel does.
func (s *Supervisor) lookAgain() {
	s.task(func() {
		pause := time.NewTimer(relookPause)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-s.ctx.Done():
			return
		}
		release, err := s.files.take(s.ctx) // the runtime is called by one at a time
		if err != nil {
			return
		}
		defer release()
		l := look{}
		if l.inst, l.err = s.writer(s.ctx); l.err == nil { // what a launch has found is not made anew
			l.strays = s.straysNow()
		}
		s.post(message{look: &l})
	})
}

// lookedAgain takes what such a look has come to. It is of use only while nothing is
// wanted: a launch that is under way looks itself, and what this one has found may have
// been cleared away by it.
func (s *Supervisor) lookedAgain(l *look) {
	var refused *runtime.RecordError
	switch {
	case s.inst != nil, errors.As(l.err, &refused): // found by a launch; told by the look
	case l.err != nil, s.machine.State != Stopped && l.inst != nil:
		s.lookAgain() // a launch may be called off before it has looked
	case s.machine.State != Stopped:
	case l.inst != nil:
		s.tellStrays(l.inst, l.strays)
		s.found(l.inst)
		s.tell()
	default:
		s.tellStrays(nil, l.strays)
		s.tell() // that nothing runs is certain now
	}
}
