//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"creel/test/fake"
)

// keepsake is what a person and their agent have left in a gateway's state, one
// thing of each kind that people have lost: who was let in, what was said, what
// the agent has written.
type keepsake struct {
	phone  *fake.Device
	said   string   // by the person
	marker string   // in a file of that name in the agent's workspace, as its content
	dirs   []string // of the state folder, excluded ones too
}

// leave leaves a keepsake. name tells it from others.
func (f *folder) leave(t *testing.T, llm *fake.LLM, token, name string) keepsake {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	k := keepsake{phone: fake.NewDevice(t, "Phone of "+name, "203.0.113.9"), said: "Do not forget " + name, marker: "marker-" + name}
	address := f.status(t).Address
	if _, err := k.phone.Connect(ctx, address, token); err == nil || !strings.Contains(err.Error(), "pairing required") {
		t.Fatalf("an unknown device: %v", err)
	}
	f.mustCommand(t, "devices", "approve", k.phone.ID)
	out := f.agentRuns(t, llm, token, k.said, fmt.Sprintf("printf %%s %[1]s >%[1]s && cat %[1]s && pwd", k.marker))
	if !strings.Contains(out, k.marker) || !strings.Contains(out, f.workspace()) {
		t.Fatalf("the agent's command did not run in its workspace: %s", out)
	}
	k.wantBack(t, f, token)
	k.dirs = list(t, f.home(), ".openclaw/*")
	return k
}

// wantBack checks that all of it is there.
func (k keepsake) wantBack(t *testing.T, f *folder, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	conn, err := k.phone.Connect(ctx, f.status(t).Address, token)
	if err != nil {
		t.Errorf("a device that was let in: %v", err)
	} else {
		_ = conn.CloseNow() // nothing more is wanted of it
	}
	if b, err := os.ReadFile(filepath.Join(f.workspace(), k.marker)); err != nil || string(b) != k.marker {
		t.Errorf("the agent's file: %q, %v", b, err)
	}
	o, err := f.dial(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	var history json.RawMessage
	if err := o.call(ctx, "chat.history", map[string]any{"sessionKey": mainSession}, &history); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{k.said, "All is well."} {
		if !strings.Contains(string(history), part) {
			t.Errorf("the conversation lacks %q: %.2000s", part, history)
		}
	}
}

// wantGone checks that a state is from before the keepsake.
func (k keepsake) wantGone(t *testing.T, f *folder, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	if _, err := k.phone.Connect(ctx, f.status(t).Address, token); err == nil || !strings.Contains(err.Error(), "pairing required") {
		t.Errorf("a device that is not let in yet: %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.workspace(), k.marker)); !os.IsNotExist(err) {
		t.Errorf("the agent's later file: %v", err)
	}
}

// workspace is where the agent works.
func (f *folder) workspace() string { return filepath.Join(f.home(), ".openclaw", "workspace") }

// mainSession is the agent's conversation with its owner.
const mainSession = "agent:main:main"

// agentRuns has the agent run a shell command with its own tool when it is told
// something, and gives what the command has printed once the turn is over.
func (f *folder) agentRuns(t *testing.T, llm *fake.LLM, token, message, command string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	o, err := f.dial(ctx, token)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	printed := llm.Use("exec", toJSON(t, map[string]any{"command": command}))
	if err := o.turn(ctx, message); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-printed:
		return text
	default:
		t.Fatal("the agent has answered without running the command")
		return ""
	}
}

// turn tells the agent something, and waits for the end of its answer.
func (o *operator) turn(ctx context.Context, message string) error {
	return o.turnIn(ctx, mainSession, message)
}

// turnIn is turn in a session of one's choice.
func (o *operator) turnIn(ctx context.Context, session, message string) error {
	var started struct{ RunID string }
	if err := o.call(ctx, "chat.send", map[string]any{"sessionKey": session, "message": message, "idempotencyKey": message}, &started); err != nil {
		return err
	}
	for {
		f, err := o.read(ctx)
		if err != nil {
			return fmt.Errorf("waiting for the answer: %w", err)
		}
		var chat struct{ RunID, State string }
		if f.Event != "chat" {
			continue
		}
		if err := json.Unmarshal(f.Payload, &chat); err != nil {
			return err
		}
		if chat.RunID != started.RunID {
			continue
		}
		switch chat.State {
		case "final":
			return nil
		case "error", "aborted":
			return fmt.Errorf("the turn has failed: %.1000s", f.Payload)
		}
	}
}
