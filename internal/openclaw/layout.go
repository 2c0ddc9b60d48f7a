package openclaw

import (
	"fmt"
	"path/filepath"
)

// Layout is where OpenClaw's files are. All paths are absolute.
//
//	<data>/openclaw/
//	  versions/<version>-node<version>/   an installation, never written to again
//	  staging/                            installations in the making
//	  npm-cache/                          only while an installation is in the making
//	  install.lock
//	  token                               the gateway's shared token, mode 0600
//	  logs/                               npm's output, OpenClaw's own log
//	  tmp/                                $TMPDIR of the gateway
//	  home/                               $HOME of the gateway: its state
//	    .openclaw/openclaw.json
//
// The state is at $HOME/.openclaw, where OpenClaw keeps it by default and where
// its own texts tell agents and people to look. $HOME is the unit that is
// saved and restored, because agents install and log in to tools there too.
type Layout struct {
	// Root is <data>/openclaw.
	Root string
}

// LayoutIn is the layout in a data folder. A relative dataDir is taken from the
// working directory.
func LayoutIn(dataDir string) (Layout, error) {
	abs, err := filepath.Abs(dataDir)
	if err != nil {
		return Layout{}, fmt.Errorf("cannot tell where the data folder %q is: %w", dataDir, err)
	}
	return Layout{Root: filepath.Join(abs, "openclaw")}, nil
}

// Home is $HOME of the gateway.
func (l Layout) Home() string { return filepath.Join(l.Root, "home") }

// Tmp is $TMPDIR of the gateway. It holds Node.js's compile cache and locks,
// so it is kept between starts, and it is of no worth to a snapshot.
func (l Layout) Tmp() string { return filepath.Join(l.Root, "tmp") }

// State is OpenClaw's state folder.
func (l Layout) State() string { return filepath.Join(l.Home(), ".openclaw") }

// Config is OpenClaw's configuration file.
func (l Layout) Config() string { return filepath.Join(l.State(), "openclaw.json") }

// TokenFile holds the gateway's shared token.
func (l Layout) TokenFile() string { return filepath.Join(l.Root, "token") }

// Logs is the folder of npm's output and of OpenClaw's own log.
func (l Layout) Logs() string { return filepath.Join(l.Root, "logs") }

// GatewayLog is OpenClaw's own log. Without a path of its own all gateways of
// a host write into one file.
func (l Layout) GatewayLog() string { return filepath.Join(l.Logs(), "openclaw.log") }

func (l Layout) versions() string    { return filepath.Join(l.Root, "versions") }
func (l Layout) staging() string     { return filepath.Join(l.Root, "staging") }
func (l Layout) npmCache() string    { return filepath.Join(l.Root, "npm-cache") }
func (l Layout) installLock() string { return filepath.Join(l.Root, "install.lock") }

// StateDirs are the folders to protect: what is in them cannot be had again.
func (l Layout) StateDirs() []string { return []string{l.Home()} }

// StateIgnore are patterns as in .gitignore, for a folder of StateDirs, of what
// need not be protected because OpenClaw or npm makes it anew. The bulk of a
// state is here (54 of 57 MB: copies of the Control UI's files).
//
// Lock files are named by where OpenClaw puts them, never as "*.lock" alone:
// agents write yarn.lock and Cargo.lock in their workspace. tools, git, dev and
// npm hold what OpenClaw downloads by itself; whoever wants to have it without
// a download puts "!/.openclaw/npm/" into .creelignore.
func (l Layout) StateIgnore() []string {
	return []string{
		"/.cache/", "/.npm/",
		"/.openclaw/cache/", "/.openclaw/tmp/", "/.openclaw/logs/", "/.openclaw/npm/",
		"/.openclaw/tools/", "/.openclaw/git/", "/.openclaw/dev/", "/.openclaw/plugin-skills/",
		"/.openclaw/*.lock", "/.openclaw/agents/**/*.lock", "/.openclaw/credentials/**/*.lock",
	}
}
