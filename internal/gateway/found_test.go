package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestAwaitEndOfFoundDead: that an instance has ended while no creel watched is known
// as soon as it is found, to whoever asks for another creel's sake, too.
func TestAwaitEndOfFoundDead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first := newRig(t, keepsIntent(t)).run()
		i := first.rt.now()
		first.Leave()
		i.crash()
		r := first.again()
		early := r.fateOf(t.Context(), 1)
		synctest.Wait()
		r.run()
		r.wants(Ready, 1, 2)
		pass(time.Second)
		for name, told := range map[string]<-chan Fate{"before it was found": early, "afterwards": r.fateOf(t.Context(), 1)} {
			synctest.Wait()
			select {
			case f := <-told:
				if !f.Crashed {
					t.Errorf("asked %s, %+v is told", name, f)
				}
			default:
				t.Errorf("whoever has asked %s is never told", name)
			}
		}
	})
}
