package config

import "time"

// DefaultOpenClawTrial is longer than what a version that cannot work needs to fall
// over its plugins and migrations, and short enough to be waited for.
const DefaultOpenClawTrial = 30 * time.Second

// Who lets in the devices of people who are signed in.
const (
	ApproveAsk      = "ask"
	ApproveSignedIn = "signed-in"
)

// OpenClaw is what only the preset "openclaw" makes use of.
type OpenClaw struct {
	// DevVars is a file with variables as wrangler reads them (.dev.vars: NAME=value, a line each). They count as if they were in creel's environment, which comes first.
	DevVars string `yaml:"dev_vars" json:"dev_vars" kind:"path" needs:"gateway restart"`
	// Approve says who lets in the devices of people who are signed in to creel and may operate it: they themselves, like everyone else's ("ask"), or creel, at once ("signed-in").
	Approve string `yaml:"approve" json:"approve" enum:"ask,signed-in" needs:"live"`
	// Lock lists keys of openclaw.json, such as channels.telegram.botToken or agents.defaults.model, that are always as creel's environment says. Without it a change that is made in the Control UI, or in the file, stays.
	Lock []string `yaml:"lock" json:"lock" needs:"gateway restart"`
	// Trial is how long another version has to be well, once it is ready, before it counts (creel openclaw upgrade).
	Trial time.Duration `yaml:"trial" json:"trial" needs:"creel upgrade"`
}
