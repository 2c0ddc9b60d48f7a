//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestVariantPersistence is the test that moltworker had and gave up: a file of the
// agent's, a snapshot, the file is gone, a restore, and it is there again; all on
// creel's pages. Then the machine loses its state for good, and creel is started
// anew.
func TestVariantPersistence(t *testing.T) { variant(t, playPersistence) }

func playPersistence(t *testing.T, s *stage) {
	s.up(t, agentOn(s.llm))
	page := s.enter(t, s.url(""), openGateway)
	s.shows(t, page)
	page.until(t, "the Control UI is connected", chatReady)
	const marker, text = "e2e-marker.txt", "e2e-persistence-test"
	path := filepath.Join(s.workspace(), marker)

	s.say(t, "The agent writes a file")
	written := s.llm.Use("exec", toJSON(t, object{"command": "printf %s " + text + " >" + marker + " && cat " + marker}))
	page.ask(t, "What is 847293 + 651824? And keep a marker.")
	page.until(t, "the agent has answered", answered("1499117"))
	s.snap(t, page, "written")
	select {
	case <-written:
	default:
		t.Fatal("the agent has written nothing")
	}
	wantFile(t, path, text)

	s.say(t, "A snapshot, on creel's pages")
	const note = "with the marker"
	snapshots := s.enter(t, s.url(""), "/_creel/snapshots")
	s.shows(t, snapshots)
	snapshots.fill(t, "#note", note)
	snapshots.press(t, "Snapshot now")
	// What takes long has a page of its own; this may, or may not.
	snapshots.until(t, "it is taken", shown("Snapshot taken"))
	s.snap(t, snapshots, "snapshot")
	snapshots.visit(t, "Snapshots")
	snapshots.visit(t, "Asked for")
	snapshots.until(t, "it is the one", shown(note))

	s.say(t, "The agent's file is gone")
	gone := s.llm.Use("exec", toJSON(t, object{"command": "rm " + marker + " && ! test -e " + marker + " && echo gone"}))
	s.shows(t, page)
	page.ask(t, "What is 1000 + 234? And remove the marker.")
	page.until(t, "the agent has answered", shown("1234"))
	<-gone
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("the file is still there: %v", err)
	}
	s.rests(t)

	s.say(t, "The snapshot is restored, on creel's pages")
	s.shows(t, snapshots)
	snapshots.press(t, "Restore …")
	snapshots.until(t, "it asks", `/what will happen/i.test(document.body.innerText)`)
	s.snap(t, snapshots, "question")
	snapshots.press(t, "Restore")
	snapshots.until(t, "it is restored", shown("is in place, and the gateway runs on it"))
	s.snap(t, snapshots, "restored")
	wantFile(t, path, text)
	s.shows(t, page)
	page.until(t, "the page is back by itself", chatReady)
	page.reload(t) // and shows nothing that it has kept
	ofThen := chatReady + " && " + shown("1499117") + " && !" + shown("1234")
	page.until(t, "the conversation is that of then", ofThen)
	s.snap(t, page, "conversation")

	s.say(t, "The machine loses its state; creel is started anew")
	s.destroy(t, s.creel)
	page.until(t, "the page has lost the gateway", disconnected)
	s.snap(t, page, "lost")
	s.creel = s.folder.up(t)
	s.creel.link(t)
	wantFile(t, path, text)
	page.until(t, "the page is back by itself", chatReady)
	page.reload(t)
	page.until(t, "so is the conversation", ofThen)
	s.say(t, "All of it is there again")
	s.snap(t, page, "there-again")
	s.end(t)
}

// wantFile checks what is in a file.
func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("%s: %q, %v; want %q", path, b, err, want)
	}
}
