package capture

import (
	"testing"

	"go.uber.org/goleak"

	"creel/test/crashgw"
)

func TestMain(m *testing.M) {
	crashgw.RunIfAsked()
	if largeWriterAsked() {
		return
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}
