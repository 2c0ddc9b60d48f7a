package process

import (
	"testing"

	"creel/internal/runtime/runtimetest"
)

// TestUse: what an instance uses, with what it has begun; nothing once it is gone.
func TestUse(t *testing.T) {
	r := testRuntime(t, t.TempDir(), parents(t)[0])
	if u, ok := r.Use(); ok {
		t.Errorf("without an instance: %+v", u)
	}
	spec := roleSpec(freePort(t), "app", "serve")
	i := mustStart(t, r, spec)
	awaitServing(t, i.Addr())
	alone, ok := r.Use()
	if !ok || alone.Generation != spec.Generation || alone.Memory < 1<<20 {
		t.Fatalf("%+v, %v", alone, ok)
	}
	runtimetest.Orphan(t, i.Addr())
	runtimetest.Await(t, "a child counts too", func() bool { u, ok := r.Use(); return ok && u.Memory > alone.Memory+1<<18 })
	mustKill(t, i)
	if u, ok := r.Use(); ok {
		t.Errorf("when it is gone: %+v", u)
	}
}
