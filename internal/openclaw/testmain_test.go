package openclaw

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// TestMain lets the test binary stand in for the programs that an installation
// runs: npm, the Node.js that npm installs, and creel itself.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "node" {
		fakeNode()
	}
	switch os.Getenv("FAKE") {
	case "npm":
		fakeNPM()
	case "child":
		fakeDir(os.Getenv("FAKE_DIR")).hang("child")
	case "installer":
		fakeInstaller()
	case "runner":
		fakeRunner()
	}
	goleak.VerifyTestMain(m)
}
