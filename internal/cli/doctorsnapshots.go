package cli

import (
	"fmt"
	"net/http"

	"creel/internal/runtime/process"
)

// checkSandbox tells whether creel's own secrets can be hidden from a gateway that
// runs as the same user.
func checkSandbox() finding {
	if err := process.CanKeepApart(); err != nil {
		return finding{"sandbox", "warning", "the gateway can read creel's keys and snapshots: " + err.Error(), "Run creel as root in a namespace that may mount, or keep keys and snapshots on another machine (snapshots.store)."}
	}
	return finding{Check: "sandbox", Verdict: "ok", Message: "creel's keys, credentials and snapshots are hidden from the gateway (gateway.sandbox)"}
}

// checkSnapshots tells where snapshots go, and how safe the state is.
func (e *env) checkSnapshots() finding {
	f := finding{Check: "snapshots", Verdict: "ok"}
	st, _, err := e.status(http.MethodGet, "status")
	switch {
	case err != nil:
		f.Message = "creel does not run; they go where snapshots.store says (default: snapshots in the data folder)"
	case st.Snapshots == nil:
		f.Verdict, f.Message, f.Hint = "warning", "none are taken", "Name the gateway's state folders with --state (gateway.state), and set snapshots.mode to auto."
	case len(st.Snapshots.Troubles) > 0:
		f.Verdict, f.Message, f.Hint = "warning", fmt.Sprintf("to %s: %s", st.Snapshots.Where, st.Snapshots.Troubles[0]), "See `creel snapshot status`."
	case st.Snapshots.Last == "":
		f.Message = fmt.Sprintf("to %s; none was taken yet", st.Snapshots.Where)
	default:
		f.Message = fmt.Sprintf("to %s; the last one %s ago", st.Snapshots.Where, ago(st.Snapshots.LastAt))
	}
	return f
}
