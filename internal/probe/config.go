package probe

import (
	"fmt"
	"regexp"

	"creel/internal/config"
)

// FromConfig returns the probe that a gateway's readiness conditions ask for;
// all that are set must hold. With none set it is TCP. A path is asked for over
// a connection, so it needs no TCP besides; a log line or a command says
// nothing of the port, so for them the port must be open, too.
func FromConfig(ready config.Ready) (Probe, error) {
	var all All
	if ready.Path != "" {
		all = append(all, HTTP{Path: ready.Path, Status: ready.Status})
	} else {
		all = append(all, TCP{})
	}
	if ready.Log != "" {
		pattern, err := regexp.Compile(ready.Log)
		if err != nil {
			return nil, fmt.Errorf("cannot use the log pattern %q: %w", ready.Log, err)
		}
		all = append(all, NewLog(pattern))
	}
	if len(ready.Command) > 0 {
		all = append(all, Command{Argv: ready.Command})
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

// AliveFromConfig returns the probe for an instance under suspicion: its path
// for that if one is set, where any status will do, else the readiness
// conditions. Of these the log line is left out: it was written once and says
// nothing of now.
func AliveFromConfig(alive config.Alive, ready config.Ready) (Probe, error) {
	if alive.Path != "" {
		return HTTP{Path: alive.Path, AnyStatus: true}, nil
	}
	ready.Log = ""
	return FromConfig(ready)
}
