package owner

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Record says who owns a gateway, as it lies in the store. All its times are for
// people.
type Record struct {
	Version int    `json:"version"`
	Gateway string `json:"gateway"`
	// Fence is the fencing number: it grows with each change of owner.
	Fence uint64 `json:"fence"`
	// Holder is one data folder on one machine since its last boot; see Self.
	Holder string `json:"holder"`
	// Folder is the data folder, over boots.
	Folder  string `json:"folder"`
	Machine string `json:"machine"` // host name
	DataDir string `json:"data_dir"`
	// Since is when it became the owner.
	Since time.Time `json:"since"`
	// Renewed is when it was written, by the owner's clock.
	Renewed time.Time `json:"renewed"`
	// Term is how long this record must not have changed for another to take over.
	Term time.Duration `json:"term_ns"`
	// Nonce is another with each write, so that no two records are equal, and each
	// writer knows its own.
	Nonce string `json:"nonce"`
	// Released says that the owner has stopped its gateway and given it back.
	Released bool `json:"released,omitempty"`
}

const recordVersion = 1

func parseRecord(b []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("the record of who owns the gateway cannot be understood: %w", err)
	}
	switch {
	case r.Version > recordVersion:
		return Record{}, fmt.Errorf("the record of who owns the gateway was written by a newer creel (version %d)", r.Version)
	case r.Version < 1, r.Term <= 0, r.Holder == "":
		return Record{}, errors.New("the record of who owns the gateway is incomplete")
	}
	return r, nil
}

// who is the owner for people.
func (r Record) who() string {
	return fmt.Sprintf("machine %s (data folder %s) since %s", r.Machine, r.DataDir, r.Since.UTC().Format(time.RFC3339))
}

// ElsewhereError says that another creel owns the gateway.
type ElsewhereError struct {
	Owner Record
	// Free is how long it will be at most until the owner's term is over, if it
	// does not renew it.
	Free time.Duration
	// Rebooted: it is this data folder, before the machine was started anew.
	Rebooted bool
}

func (e *ElsewhereError) Error() string {
	if e.Rebooted {
		return fmt.Sprintf("gateway %s was owned from this data folder before this machine was started anew, without having been given back; a copy of the folder on another machine would look the same", e.Owner.Gateway)
	}
	return fmt.Sprintf("gateway %s is owned by %s, last renewed at %s", e.Owner.Gateway, e.Owner.who(), e.Owner.Renewed.UTC().Format(time.RFC3339))
}

// Hint is the next step.
func (e *ElsewhereError) Hint() string {
	if e.Rebooted {
		return fmt.Sprintf("It starts within %s unless a copy goes on elsewhere. If there is none, `creel start --take-over` starts it now.", e.Free.Round(time.Second))
	}
	return fmt.Sprintf("Stop creel there, or wait: if it does not renew its ownership within %s it is taken over. If that machine is gone for good, `creel start --take-over`.", e.Free.Round(time.Second))
}

// UnknownError says that it cannot be told, or not any more, who owns the gateway.
type UnknownError struct {
	Err error
	// Lapsed says that this creel was the owner, and could not renew it in time.
	Lapsed bool
}

func (e *UnknownError) Error() string {
	if e.Lapsed {
		return "the ownership of the gateway could not be renewed in time, and another machine may take it: " + e.Err.Error()
	}
	return "it cannot be told which machine owns the gateway: " + e.Err.Error()
}

func (e *UnknownError) Unwrap() error { return e.Err }
