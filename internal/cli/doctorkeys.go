package cli

import (
	"net/http"
	"strings"

	"creel/internal/api"
	"creel/internal/health"
	"creel/internal/provider"
)

// checkKeys tells whether keys of model providers are within the gateway's reach: what
// the creel that runs has found.
func (e *env) checkKeys() finding {
	st, _, err := e.status(http.MethodGet, "status")
	if err != nil {
		return finding{Check: "keys", Verdict: "ok", Message: "creel does not run; keys of model providers that it is given are kept from the gateway (docs/providers.md)"}
	}
	report, _, err := e.providerReport()
	if err != nil {
		return finding{Check: "keys", Verdict: "warning", Message: err.Error()}
	}
	return keysFinding(*st, report)
}

// keysFinding is what doctor says of keys. What the owner has left to the gateway is
// said, and nothing is wrong with it.
func keysFinding(st api.Status, report provider.Report) finding {
	f := finding{Check: "keys", Verdict: "ok", Message: "none that creel knows of is within the gateway's reach"}
	if report.Foreign {
		f.Message = foreignSentence
		return f
	}
	var hints []string
	for _, r := range st.Degraded {
		if r.Condition == health.Keys {
			f.Verdict, f.Message, hints = "warning", r.Message, []string{r.Hint}
		}
	}
	if len(report.Left) > 0 {
		if f.Verdict == "ok" {
			f.Message = leftSentence(report.Left)
		} else {
			f.Message += "; " + leftSentence(report.Left)
		}
	}
	for _, p := range report.Providers {
		if missed := provider.Missed(p.Kind, p.Name); missed != "" && report.Proxy {
			hints = append(hints, missed)
		}
	}
	f.Hint = strings.Join(hints, "; ")
	return f
}

// foreignSentence is said where the gateway is not OpenClaw.
const foreignSentence = "creel keeps keys of model providers for OpenClaw alone; this gateway is another program, and has what is in creel's environment"

// leftSentence tells of keys that providers.leave leaves to the gateway.
func leftSentence(names []string) string {
	return "the gateway has " + strings.Join(names, ", ") + ", as providers.leave says, and whatever runs in it can read that"
}
