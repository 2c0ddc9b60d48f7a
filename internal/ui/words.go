package ui

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/snapshot/owner"
	"creel/internal/snapshot/store"
)

// pill is a state in a word. Its tone is shown as a colour and as a shape.
type pill struct{ Word, Tone string }

// The tones: all is well; something is under way; worth knowing, and no trouble; look
// at it; it does not work; it is off.
const (
	toneOK   = "ok"
	toneBusy = "busy"
	toneInfo = "info"
	toneWarn = "warn"
	toneBad  = "bad"
	toneOff  = "off"
)

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

// plain makes a text for people of a stable word: "exit_code" is "exit code".
func plain(word string) string { return strings.ReplaceAll(word, "_", " ") }

// capital begins a text as a sentence. What begins with a name stays as it is:
// creel's, an address, a key of the configuration.
func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	first, _, _ := strings.Cut(s, " ")
	if n == 0 || first == "creel" || strings.ContainsAny(strings.TrimRight(first, ".,:;"), "@._/:=0123456789") {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
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

// span says a length of time, with what matters of it: "3 d 4 h", "2 min 5 s".
func span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	days, hours, minutes, seconds := int(d/(24*time.Hour)), int(d/time.Hour)%24, int(d/time.Minute)%60, int(d/time.Second)%60
	switch {
	case days > 0:
		return fmt.Sprintf("%d d %d h", days, hours)
	case hours > 0:
		return fmt.Sprintf("%d h %d min", hours, minutes)
	case minutes >= 10:
		return fmt.Sprintf("%d min", minutes)
	case minutes > 0:
		return fmt.Sprintf("%d min %d s", minutes, seconds)
	}
	return fmt.Sprintf("%d s", seconds)
}

// ago says how long ago something was, roughly: what changes every second is
// of no use to a reader.
func ago(d time.Duration) string {
	one := func(n int, unit string) string {
		if n == 1 {
			return "1 " + unit + " ago"
		}
		return strconv.Itoa(n) + " " + unit + "s ago"
	}
	switch {
	case d < 0:
		return "in " + span(-d)
	case d < 10*time.Second:
		return "just now"
	case d < time.Minute:
		return one(int(d/(10*time.Second))*10, "second")
	case d < time.Hour:
		return one(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return one(int(d/time.Hour), "hour")
	}
	return one(int(d/(24*time.Hour)), "day")
}

// size says a number of bytes.
func size(n int64) string {
	switch {
	case n < 0:
		return "−" + size(-n)
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/(1<<30))
}

// fileCount says a number of files.
func fileCount(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return count(n) + " files"
}

// count writes a number with a thin space between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
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

// kindOfOther is the kind of timeline entry for an event of a part of creel that
// this package does not know.
func kindOfOther(kind string) string {
	for _, k := range []struct{ part, kind string }{
		{"login", "signin"}, {"sign", "signin"}, {"session", "signin"}, {"token", "signin"}, {"auth", "signin"}, {"passkey", "signin"}, {"password", "signin"}, {"access", "signin"},
		{"snapshot", "snapshot"}, {"restore", "restore"}, {"device", "device"}, {"config", "config"}, {"replay", "replay"},
	} {
		if strings.Contains(kind, k.part) {
			return k.kind
		}
	}
	return "health"
}
