package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"creel/internal/api"
	"creel/internal/config"
	"creel/internal/daemon"
	"creel/internal/runtime/process"
	"creel/internal/wording"
)

// finding is what doctor says of one thing.
type finding struct {
	Check   string `json:"check"`
	Verdict string `json:"verdict"` // ok, warning, problem
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// checkMachine looks at what is quickly seen of a data folder and its machine.
func checkMachine(dir string) []finding {
	return []finding{checkDataDir(dir), checkDisk(dir), checkCgroup(), checkPidfd(), checkSandbox()}
}

// machineFindings is the same for the API.
func machineFindings(dir string) []api.Finding {
	var list []api.Finding
	for _, f := range checkMachine(dir) {
		list = append(list, api.Finding(f))
	}
	return list
}

func newDoctor(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what keeps creel from doing all of its work", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			dir, err := e.folder()
			if err != nil {
				return err
			}
			return e.report(append(checkMachine(dir), e.checkNPM(), e.checkAddress(), e.checkSnapshots(), e.checkKeys()))
		},
	}
	cmd.Flags().BoolVar(&e.json, "json", false, "print JSON")
	return cmd
}

func (e *env) report(found []finding) error {
	if e.json {
		enc := json.NewEncoder(e.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(found); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		for _, f := range found {
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Verdict, f.Check, f.Message)
			if f.Hint != "" {
				fmt.Fprintf(w, "\t\t%s\n", f.Hint)
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	for _, f := range found {
		if f.Verdict == "problem" {
			return errors.New("creel cannot work like this")
		}
	}
	return nil
}

func checkDataDir(dir string) finding {
	f := finding{Check: "data folder", Verdict: "ok", Message: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return finding{f.Check, "problem", err.Error(), wording.Capital(daemon.DataDirRemedy(dir)) + "."}
	}
	probe, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		return finding{f.Check, "problem", err.Error(), wording.Capital(daemon.DataDirRemedy(dir)) + "."}
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return finding{f.Check, "problem", err.Error(), ""}
	}
	return f
}

// openClawNeeds is the room that an installation of OpenClaw takes.
const openClawNeeds = 3 << 29

func checkDisk(dir string) finding {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(dir), &st); err != nil {
		return finding{"disk", "warning", "cannot tell how much is free: " + err.Error(), ""}
	}
	avail := st.Bavail * uint64(st.Bsize)
	message := fmt.Sprintf("%.1f GiB free", float64(avail)/(1<<30))
	if avail < openClawNeeds {
		return finding{"disk", "warning", message, "Installing OpenClaw takes 1.5 GiB."}
	}
	return finding{Check: "disk", Verdict: "ok", Message: message}
}

func checkCgroup() finding {
	s := process.Describe()
	message := fmt.Sprintf("%s: %s", s.Mode, s.Reason)
	if s.Mode == process.ModeNone {
		return finding{"cgroup", "warning", message, "Processes that a gateway starts are found by their session alone; one that leaves it may be missed."}
	}
	return finding{Check: "cgroup", Verdict: "ok", Message: message}
}

func checkPidfd() finding {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return finding{"pidfd", "problem", "the kernel has no pidfd_open(2): " + err.Error(), "creel needs Linux 5.3 or later."}
	}
	_ = unix.Close(fd) // it was open a moment ago
	return finding{Check: "pidfd", Verdict: "ok", Message: "supported"}
}

func (e *env) checkNPM() finding {
	path, err := exec.LookPath("npm")
	if err != nil {
		return finding{"npm", "warning", "not found", "`creel up` installs OpenClaw with it: install Node.js with npm (Debian: apt-get install npm). `creel run` does without."}
	}
	ctx, cancel := context.WithTimeout(e.ctx, 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return finding{"npm", "warning", path + " does not run: " + err.Error(), ""}
	}
	return finding{Check: "npm", Verdict: "ok", Message: fmt.Sprintf("%s, version %s", path, trimmed(out))}
}

func trimmed(b []byte) string {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return string(b)
}

// checkAddress looks whether creel could listen at its default address, unless
// it does already.
func (e *env) checkAddress() finding {
	f := finding{Check: "address", Verdict: "ok", Message: config.DefaultListen}
	if st, _, err := e.status("GET", "status"); err == nil {
		f.Message = fmt.Sprintf("creel (pid %d) listens on %s", st.Creel.PID, st.Creel.Listen)
		return f
	}
	l, err := net.Listen("tcp", config.DefaultListen)
	if err == nil {
		f.Message += " is free"
		_ = l.Close() // it was free a moment ago, and is again
		return f
	}
	f.Verdict, f.Message, f.Hint = "warning", err.Error(), "Choose another one with --listen."
	if _, port, splitErr := net.SplitHostPort(config.DefaultListen); splitErr == nil {
		if n, convErr := net.LookupPort("tcp", port); convErr == nil {
			if holder, holderErr := process.PortHolder(n); holderErr == nil && holder != nil {
				f.Message = holder.Error()
			}
		}
	}
	return f
}
