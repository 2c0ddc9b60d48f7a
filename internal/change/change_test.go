package change

import "testing"

func TestSignal(t *testing.T) {
	var s Signal
	s.Tell() // nobody waits
	first, second := s.Next(), s.Next()
	select {
	case <-first:
		t.Fatal("told of a change of before")
	default:
	}
	s.Tell()
	for _, c := range []<-chan struct{}{first, second} {
		select {
		case <-c:
		default:
			t.Error("not everybody was told")
		}
	}
	select {
	case <-s.Next():
		t.Error("told twice of one change")
	default:
	}
}
