package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"creel/internal/config"
	"creel/test/mounttest"
)

func TestFull(t *testing.T) { mounttest.Run(t, "TestOnFull", 1) }

// TestOnFull is no test of its own: see TestFull.
func TestOnFull(t *testing.T) {
	if mounttest.Inside(t) {
		t.Run("take back", testTakeBackOnFull)
	}
}

// testTakeBackOnFull: on a disk that is full by the time a successor has failed, the room
// that is in reserve lets this creel take the gateway back.
func testTakeBackOnFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=16m,nr_inodes=200"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) }) // the namespace ends, too
	cfg := config.Defaults()
	cfg.DataDir, cfg.Listen = dir, "127.0.0.1:0"
	cfg.Gateway.Command, cfg.Gateway.Start = []string{"/bin/false"}, config.StartOnDemand
	d := &daemon{opts: Options{Config: &cfg}, log: slog.New(slog.DiscardHandler), leases: newLeases(), outlived: t.Context()}
	d.now.Store(&cfg)
	if err := d.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer d.lock.close()
	defer d.listener.Close()
	if err := d.assemble(); err != nil {
		t.Fatal(err)
	}
	defer d.closeHealth()
	defer d.closeGate()
	defer d.proxy.Close()
	stop := func(err error) { t.Error(err) }
	old := d.engine
	old.run(stop)
	if err := old.leave(d.outlived); err != nil {
		t.Fatal(err)
	}
	if err := old.close(context.Background()); err != nil { // nobody looks at the folder any more
		t.Fatal(err)
	}
	if !d.disk.Look() { // lays in the reserve
		t.Fatal("the folder is full before it is filled")
	}
	for n := 0; ; n++ {
		err := os.WriteFile(filepath.Join(dir, fmt.Sprint("full-", n)), nil, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// The control socket takes two inodes, and the reserve is one.
	if err := os.Remove(filepath.Join(dir, "full-0")); err != nil {
		t.Fatal(err)
	}
	again, err := d.newEngine(old)
	if err != nil {
		t.Fatalf("the gateway is not taken back: %v", err)
	}
	d.engine = again
	again.run(stop)
	if err := again.stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := again.close(context.Background()); err != nil {
		t.Error(err)
	}
	d.dropping.Wait()
}
