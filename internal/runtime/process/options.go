package process

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
)

// Defaults of Options.
const (
	DefaultLogMaxBytes int64 = 10 << 20
	DefaultLogKeep           = 3
)

// NoCgroup as Options.CgroupParent says that instances get no cgroup.
const NoCgroup = "none"

// Options says where a Runtime keeps things.
type Options struct {
	// Dir is the folder of the gateway's instance record and logs, such as
	// <data>/gateways/<name>. It is made if it is missing. Required.
	Dir string
	// DataDir is creel's data folder. Record and cgroup are bound to its path,
	// so that a copy of the folder adopts nothing. Required.
	DataDir string
	// CgroupParent is the cgroup directory, v1 or v2, beneath which instances
	// get their own. Empty: found out (see Describe). NoCgroup: none, and so
	// no limits but that of open files. v1 controllers with hierarchies of
	// their own, which limits need, are found out in any case.
	CgroupParent string
	// LogMaxBytes is the size, in bytes, at which the output log is rotated.
	// 0: DefaultLogMaxBytes.
	LogMaxBytes int64
	// LogKeep is how many rotated logs are kept. 0: DefaultLogKeep.
	LogKeep int
	// Logger gets what goes wrong outside a call. nil: slog.Default().
	Logger *slog.Logger
}

// Support says how the processes of an instance are kept together on this
// machine.
type Support struct {
	Mode   string // "v2", "v1" or "none"
	Path   string // cgroup directory beneath which instances get their own; empty with "none"
	Reason string // why, in words
}

// The modes of Support.
const (
	ModeV2   = "v2"
	ModeV1   = "v1"
	ModeNone = "none"
)

// LogPath is the file that an instance's output goes to. Older output is in
// the files of the same name with ".1", ".2" and so on, the latest first.
func LogPath(dir string) string { return filepath.Join(dir, "gateway.log") }

// withDefaults checks o and fills in what was left empty.
func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" || o.DataDir == "" {
		return o, errors.New("cannot make a process runtime: Dir and DataDir are required")
	}
	if o.LogMaxBytes < 0 || o.LogKeep < 0 {
		return o, fmt.Errorf("cannot make a process runtime: LogMaxBytes %d and LogKeep %d must not be negative", o.LogMaxBytes, o.LogKeep)
	}
	if o.LogMaxBytes == 0 {
		o.LogMaxBytes = DefaultLogMaxBytes
	}
	if o.LogKeep == 0 {
		o.LogKeep = DefaultLogKeep
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
