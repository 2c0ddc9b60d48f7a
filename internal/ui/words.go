package ui

import (
	"errors"
	"strings"
	"unicode/utf8"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/store"
)

// pill is a state in a word. Its tone is shown as a colour and as a shape.
type pill struct{ Word, Tone string }

// pillOf says a state in a word or two.
func pillOf(st gateway.Status) pill {
	switch st.State {
	case gateway.Ready:
		return pill{"Running", toneOK}
	case gateway.Starting:
		return pill{"Starting", toneBusy}
	case gateway.Restoring:
		return pill{"Putting its state in place", toneBusy}
	case gateway.Suspect:
		return pill{"Not answering", toneWarn}
	case gateway.Draining, gateway.Stopping:
		if st.StopAsked {
			return pill{"Stopping", toneBusy}
		}
		return pill{"Restarting", toneBusy}
	case gateway.Backoff:
		return pill{"Waiting to start again", toneWarn}
	case gateway.Failed:
		return pill{"Given up", toneBad}
	case gateway.Stopped:
		if st.StopAsked {
			return pill{"Stopped", toneOff}
		}
		return pill{"Not started", toneOff}
	}
	return pill{capital(string(st.State)), toneOff}
}

// stateSentence says what a state means for those who want to use the gateway.
func stateSentence(st gateway.Status) string {
	switch st.State {
	case gateway.Ready:
		return "It answers. Requests are passed on at once."
	case gateway.Starting:
		return "It is starting. Requests wait for it."
	case gateway.Restoring:
		return "Its state is being put in place; then it starts. Requests wait for it."
	case gateway.Suspect:
		return "It does not answer, though it has not ended. It is being watched, and replaced if that goes on; requests wait."
	case gateway.Draining:
		return "It is being stopped: the requests under way come to their end first."
	case gateway.Stopping:
		return "It was asked to end."
	case gateway.Backoff:
		return "It ended by itself, and is started again after a pause. Requests wait for it."
	case gateway.Failed:
		return "It is not started any more, until you say so or its configuration changes. Requests are turned away."
	case gateway.Stopped:
		if st.StopAsked {
			return "Somebody stopped it, and it stays so until it is started. Requests are turned away."
		}
		return "It starts with the first request."
	}
	return ""
}

// causeWords says a cause in words.
func causeWords(c gateway.Cause) string {
	words := map[gateway.Cause]string{
		gateway.CauseExit: "it ended with an error", gateway.CauseSignal: "it was killed", gateway.CauseOOM: "it ran out of memory",
		gateway.CauseUnknown: "how it ended is not known", gateway.CausePortTaken: "another program holds its port",
		gateway.CauseConfigRefused: "it refuses its configuration", gateway.CauseCommand: "its command cannot be run",
		gateway.CauseLimits: "a limit cannot be enforced here", gateway.CauseLaunch: "it could not be set up",
		gateway.CauseNotReady: "it was not ready in time", gateway.CauseUnresponsive: "it refused connections",
		gateway.CauseHang: "it fell silent", gateway.CauseRestore: "its state could not be put in place",
		gateway.CauseOwnedElsewhere: "another machine runs it", gateway.CauseOwnerUnknown: "another machine may run it",
		gateway.CauseAsked: "it was asked to", gateway.CauseCreelAway: "it ended while no creel watched",
	}
	if w, ok := words[c]; ok {
		return w
	}
	return plain(string(c))
}

// reasonWords says why a snapshot was taken.
func reasonWords(r store.Reason) string {
	switch r {
	case store.Asked:
		return "asked for"
	case store.OnChange:
		return "the state had changed"
	case store.OnInterval:
		return "it was time"
	case store.BeforeUpgrade:
		return "before an upgrade"
	case store.BeforeRestore:
		return "before a restore"
	case store.OnStop:
		return "the gateway had stopped"
	case store.Imported:
		return "brought in"
	}
	return plain(string(r))
}

// sentence makes a sentence of an error's text.
func sentence(s string) string {
	s = strings.TrimSpace(capital(s))
	if s != "" && !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

// hintOf is what an error says can be done about it.
func hintOf(err error) string {
	var (
		device *openclaw.DeviceError
		access *store.AccessError
		away   *owner.ElsewhereError
		page   *pageError
	)
	switch {
	case errors.As(err, &page):
		return page.hint
	case errors.As(err, &device):
		return "" // it speaks of the command line
	case errors.As(err, &access):
		return access.Hint
	case errors.As(err, &away):
		return away.Hint()
	}
	return ""
}

// clip cuts a text at a rune's border.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
