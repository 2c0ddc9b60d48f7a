package cli

import (
	"net/http"

	"creel/internal/health"
)

// checkKeys tells whether keys of model providers are within the gateway's reach: what
// the creel that runs has found.
func (e *env) checkKeys() finding {
	f := finding{Check: "keys", Verdict: "ok"}
	st, _, err := e.status(http.MethodGet, "status")
	if err != nil {
		f.Message = "creel does not run; keys of model providers that it is given are kept from the gateway (docs/providers.md)"
		return f
	}
	f.Message = "none that creel knows of is within the gateway's reach"
	for _, r := range st.Degraded {
		if r.Condition == health.Keys {
			return finding{f.Check, "warning", r.Message, r.Hint}
		}
	}
	return f
}
