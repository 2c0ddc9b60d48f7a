package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"creel/internal/telemetry"
)

// Probe looks at an instance once.
type Probe interface {
	// Check returns nil if the condition holds. If not, the error is or wraps
	// a *Failure, except when ctx has ended: then it may be ctx's cause alone.
	// It may be called from any goroutine.
	Check(ctx context.Context, t Target) error
}

// Target is the instance that is looked at.
type Target struct {
	Addr string   // TCP address at which it serves, as host:port
	Dir  string   // working directory for commands; empty: creel's own
	Env  []string // environment for commands, as KEY=VALUE; nil: creel's PATH and HOME alone

	LogPath   string // file that its output is written to
	LogOffset int64  // length of that file when the instance started, in bytes
	LogCut    bool   // lines that it has written since may be there no more

	Done <-chan struct{} // closed when the instance has ended; nil: not known
}

// Verdict is the sort of a failure.
type Verdict int

// The verdicts, from most to least telling.
const (
	Refused    Verdict = iota // nothing listens at the port
	NotReady                  // it answered, and the answer was no
	Unanswered                // it was given its time and said nothing
	Unchecked                 // the check could not be made; that says nothing of the instance
)

// String is the verdict in words.
func (v Verdict) String() string {
	switch v {
	case Refused:
		return "refused"
	case NotReady:
		return "not ready"
	case Unanswered:
		return "unanswered"
	default:
		return "unchecked"
	}
}

// Failure says why a condition does not hold.
type Failure struct {
	Verdict Verdict
	Seen    string        // what was seen, for a person, without secrets
	Every   time.Duration // least time between two checks of this kind; 0: as the pace says
	Err     error         // the error behind it; may be nil
}

func (f *Failure) Error() string { return f.Seen }
func (f *Failure) Unwrap() error { return f.Err }

// VerdictOf is the verdict of the *Failure that err is or wraps. Other errors
// are Unchecked.
func VerdictOf(err error) Verdict {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Verdict
	}
	return Unchecked
}

// defaultTimeout bounds a single look over the network.
const defaultTimeout = 2 * time.Second

// orDefault is d, or def if d is not set.
func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// dialFailure says why no connection came about. ctx is the check's, own the
// one with the look's own deadline.
func dialFailure(ctx context.Context, t Target, timeout time.Duration, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Failure{Verdict: Refused, Seen: fmt.Sprintf("port %s refused the connection", portOf(t.Addr)), Err: err}
	case isTimeout(err):
		return &Failure{Verdict: Unanswered, Err: err,
			Seen: fmt.Sprintf("port %s did not take the connection within %v", portOf(t.Addr), timeout)}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNABORTED):
		return &Failure{Verdict: NotReady, Seen: fmt.Sprintf("port %s broke the connection off", portOf(t.Addr)), Err: err}
	default: // out of file descriptors or of local ports, a bad address, …
		return &Failure{Verdict: Unchecked, Seen: fmt.Sprintf("cannot dial %s: %v", t.Addr, err), Err: err}
	}
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// portOf is the port of addr, or addr itself if it has none.
func portOf(addr string) string {
	if _, port, err := net.SplitHostPort(addr); err == nil {
		return port
	}
	return addr
}

// maxShown is how much of an answer or of a command's output is shown, in
// bytes.
const maxShown = 200

// shown makes foreign text fit for a message: on one line, printable, and
// without secrets. It may be one cut piece of something longer.
func shown(text string) string {
	text = telemetry.Redact(text)
	var b strings.Builder
	space := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case r == utf8.RuneError || !unicode.IsPrint(r):
			r = '.'
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return b.String()
}
