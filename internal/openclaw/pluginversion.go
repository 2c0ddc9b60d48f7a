package openclaw

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// OtherPluginVersion is the version of a plugin that is installed in another one than
// that; empty: it is of that version, is not there, or does not say.
//
// OpenClaw's plugins are released with it, and ask for an OpenClaw that is not older than
// they are. One that is older runs as long as OpenClaw keeps what it is built on. creel
// says so, and changes nothing: a person may have chosen it, an exchange takes minutes in
// a start that people wait for, and one that fails would leave a channel without any.
func OtherPluginVersion(l Layout, plugin, version string) (found string) {
	for _, dir := range pluginProjects(l, plugin) {
		var p struct {
			Version string `json:"version"`
		}
		b, err := os.ReadFile(filepath.Join(dir, "node_modules", filepath.FromSlash(plugin), "package.json"))
		if err != nil || json.Unmarshal(b, &p) != nil {
			continue
		}
		if p.Version == version {
			return ""
		}
		found = p.Version
	}
	return found
}

// PluginUpdateCommand is what a person types to have a plugin that is installed
// exchanged.
func PluginUpdateCommand(plugin, version string) string {
	return "creel openclaw exec -- plugins update " + plugin + "@" + version
}
