package daemon

import (
	"errors"
	"log/slog"
	"net"
	"testing"

	"creel/internal/provider"
)

// closing is a listener that tells of its end.
type closing struct {
	net.Listener
	closed func()
}

func (c *closing) Close() error {
	c.closed()
	return nil
}

// TestLetGo: a creel that is replaced holds the lock for as long as it listens. Should its
// successor be no more, the next creel listens at the same ports as soon as it has the
// lock; where the gateway finds its model providers it would else take another, which the
// gateway that runs does not know.
func TestLetGo(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	locked := func() bool {
		var inUse *InUseError
		l, err := lockDataDir(dir)
		if err == nil {
			err = l.close()
		}
		return errors.As(err, &inUse)
	}
	n := 0
	closed := func() {
		if n++; !locked() {
			t.Error("the lock was given up while creel was listening")
		}
	}
	d := &daemon{
		listener: &closing{closed: closed}, lock: lock,
		providers: &providers{server: provider.NewServer(&closing{closed: closed}, nil, slog.New(slog.DiscardHandler))},
	}
	if err := d.letGo(); err != nil {
		t.Error(err)
	}
	if n != 2 || locked() {
		t.Errorf("%d listeners are closed, the lock is held: %v", n, locked())
	}
}
