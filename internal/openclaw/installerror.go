package openclaw

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"syscall"
)

// Reason says in a stable word why OpenClaw could not be installed.
type Reason string

// The reasons.
const (
	ReasonVersion     Reason = "version"      // the version asked for is none, or does not exist
	ReasonFolder      Reason = "folder"       // Node.js cannot load modules from a folder of that name
	ReasonPlatform    Reason = "platform"     // no Node.js for this machine, or it does not run here
	ReasonNPMMissing  Reason = "npm_missing"  // no npm in PATH
	ReasonNPMTooOld   Reason = "npm_too_old"  // before version 8
	ReasonNPMFailed   Reason = "npm_failed"   // npm failed for a reason that creel does not know
	ReasonRegistry    Reason = "registry"     // the registry cannot be reached
	ReasonRefused     Reason = "refused"      // the registry asks for a login or forbids the package
	ReasonIntegrity   Reason = "integrity"    // what was downloaded is not what was published
	ReasonSpace       Reason = "space"        // no room on the disk
	ReasonReadOnly    Reason = "read_only"    // the data folder cannot be written to
	ReasonDisk        Reason = "disk"         // another failure of the disk
	ReasonBroken      Reason = "broken"       // what was installed does not run
	ReasonNPMTimedOut Reason = "npm_time_out" // npm did not end in time
)

// InstallError says why OpenClaw could not be installed, and what to do.
type InstallError struct {
	Reason Reason
	Detail string // what is wrong
	Next   string // the next step
	Log    string // path of npm's whole output; empty: npm was not run
	Tail   string // the lines of it that say most, without secrets
	Err    error  // the underlying error; may be nil
}

func (e *InstallError) Error() string {
	var b strings.Builder
	b.WriteString("cannot install OpenClaw: ")
	b.WriteString(e.Detail)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Tail != "" {
		b.WriteString("\n" + e.Tail + "\n")
	} else {
		b.WriteString("; ")
	}
	b.WriteString(e.Next)
	if e.Log != "" {
		b.WriteString(" (npm's output: " + e.Log + ")")
	}
	return b.String()
}

func (e *InstallError) Unwrap() error { return e.Err }

// retryable reports whether another attempt may do.
func (e *InstallError) retryable() bool {
	switch e.Reason {
	case ReasonRegistry, ReasonNPMFailed, ReasonNPMTimedOut:
		return true
	default:
		return false
	}
}

const nextRetry = "run the command again: the installation starts afresh"

// diskError is for a failure of the data folder itself.
func diskError(what string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return spaceError("cannot "+what, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return &InstallError{Reason: ReasonReadOnly, Detail: "cannot " + what, Err: err,
			Next: "make the data folder writable for the user that runs creel, or choose another one with --data-dir"}
	default:
		return &InstallError{Reason: ReasonDisk, Detail: "cannot " + what, Err: err,
			Next: "check the data folder, or choose another one with --data-dir"}
	}
}

func spaceError(detail string, err error) error {
	return &InstallError{Reason: ReasonSpace, Detail: detail, Err: err,
		Next: "make room (about 1.5 GB while it installs, 0.9 GB afterwards), or choose another data folder with --data-dir"}
}

// npmSymptom is a failure of npm that is known by its code.
type npmSymptom struct {
	codes  *regexp.Regexp
	reason Reason
	detail string
	next   string
}

// npmSymptoms are tried in order: a full disk also makes other things fail.
// The codes are those of npm ("npm error code …") and of Node.js.
var npmSymptoms = []npmSymptom{
	{regexp.MustCompile(`\b(ENOSPC|EDQUOT)\b`), ReasonSpace, "the disk became full",
		"make room (about 1.5 GB while it installs, 0.9 GB afterwards), or choose another data folder with --data-dir"},
	{regexp.MustCompile(`\b(EROFS)\b`), ReasonReadOnly, "the data folder cannot be written to",
		"make it writable, or choose another one with --data-dir"},
	{regexp.MustCompile(`code (EACCES|EPERM)\b`), ReasonReadOnly, "npm may not write to a file",
		"give the user that runs creel the right to write to the data folder"},
	{regexp.MustCompile(`code (EINTEGRITY)\b`), ReasonIntegrity, "a package does not match its checksum",
		"try again; if it stays so, a proxy or mirror changes packages"},
	{regexp.MustCompile(`code (E401|E403|ENEEDAUTH|EOTP)\b`), ReasonRefused, "the npm registry refuses access",
		`check the registry and its login ("npm config list", "npm ping")`},
	{regexp.MustCompile(`code (ETARGET|E404|ENOVERSIONS)\b`), ReasonVersion, "the npm registry does not have this version",
		`check the version, the registry and npm's settings "before" and "min-release-age" ("npm config list")`},
	{regexp.MustCompile(`code (EBADPLATFORM)\b`), ReasonPlatform, "a package is not made for this machine",
		"run creel on Linux on x86-64 or arm64"},
	{regexp.MustCompile(`\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_SOCKET_TIMEOUT|ENOTCACHED|UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY|CERT_HAS_EXPIRED|E5\d\d)\b`),
		ReasonRegistry, "the npm registry cannot be reached",
		`check the network and npm's registry, proxy and cafile ("npm ping", "npm config list")`},
}

// npmFailure makes an error of a failed run of npm.
func npmFailure(output string, err error) *InstallError {
	for _, s := range npmSymptoms {
		if m := s.codes.FindStringSubmatch(output); m != nil {
			return &InstallError{Reason: s.reason, Detail: s.detail + " (" + m[1] + ")", Next: s.next}
		}
	}
	return &InstallError{Reason: ReasonNPMFailed, Detail: "npm failed", Next: "see its output; then " + nextRetry, Err: err}
}
