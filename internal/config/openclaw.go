package config

// OpenClaw is what only the preset "openclaw" makes use of.
type OpenClaw struct {
	// DevVars is a file with variables as wrangler reads them (.dev.vars: NAME=value, a line each). They count as if they were in creel's environment, which comes first.
	DevVars string `yaml:"dev_vars" json:"dev_vars" kind:"path" needs:"gateway restart"`
	// Lock lists keys of openclaw.json, such as channels.telegram.botToken or agents.defaults.model, that are always as creel's environment says. Without it a change that is made in the Control UI, or in the file, stays.
	Lock []string `yaml:"lock" json:"lock" needs:"gateway restart"`
}
