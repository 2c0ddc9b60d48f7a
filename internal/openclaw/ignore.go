package openclaw

import "creel/internal/snapshot/capture"

// Ignore are patterns, as in .gitignore, of what in the gateway's home is not
// saved: what OpenClaw makes anew by itself. It is relative to Layout.Home.
var Ignore = append([]string{
	"/.openclaw/cache/",         // the Control UI's files, 54 MB of 57
	"/.openclaw/tmp/",           // locks
	"/.openclaw/logs/",          // of no use to another instance
	"/.openclaw/plugin-skills/", // links into installed plugins
	"/.openclaw/npm/",           // plugins, installed anew from its configuration
	"/.openclaw/tools/",
	"/.openclaw/git/",
	"/.openclaw/dev/",
	"/.openclaw/**/*.lock",
}, capture.DefaultIgnore...)
