package daemon

import "testing"

// TestRemains: what began before is waited for, and nothing begins afterwards.
func TestRemains(t *testing.T) {
	var r remains
	held, ended := make(chan struct{}), make(chan struct{})
	if !r.Go(func() { <-held }) {
		t.Fatal("nothing begins")
	}
	go func() {
		defer close(ended)
		r.Wait()
	}()
	poll(t, "nothing more begins", func() bool { return !r.Go(func() {}) })
	select {
	case <-ended:
		t.Error("what had begun was not waited for")
	default:
	}
	close(held)
	<-ended
	if r.Go(func() { t.Error("it has begun") }) {
		t.Error("it is said to have begun")
	}
	r.Wait()
}
