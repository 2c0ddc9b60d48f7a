package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples are of the commands whose use lines leave something to ask; others have
// them beside their flags. A test holds that each can be typed as it is.
var examples = map[string]string{
	"creel auth":                  "creel auth hash-password > ~/creel-password && chmod 600 ~/creel-password",
	"creel config check":          "creel config check creel.yaml",
	"creel config schema":         "creel config schema > creel.schema.json",
	"creel config show":           "creel config show creel.yaml\ncreel config show --config creel.yaml --json",
	"creel devices approve":       "creel devices approve 2bae2dff",
	"creel devices reject":        "creel devices reject 2bae2dff",
	"creel devices rename":        `creel devices rename 2bae2dff "Anna's laptop"`,
	"creel devices revoke":        "creel devices revoke 2bae2dff",
	"creel doctor":                "creel doctor\ncreel doctor --data-dir /var/lib/creel --json",
	"creel import":                "creel import moltworker --bucket moltbot-data --account ID --dry-run\ncreel import moltworker --dir ./moltbot-data",
	"creel openclaw":              "creel openclaw versions\ncreel openclaw doctor\ncreel openclaw config diff\ncreel openclaw exec -- channels status",
	"creel openclaw config diff":  "creel openclaw config diff\ncreel openclaw config diff --json",
	"creel openclaw doctor":       "creel openclaw doctor\ncreel stop && creel openclaw doctor --fix && creel start",
	"creel owner passkeys remove": "creel owner passkeys remove k3rb5xw2",
	"creel providers usage":       "creel providers usage --days 7",
	"creel reload":                "creel config check creel.yaml && creel reload",
	"creel restart":               "creel restart\ncreel restart --wait 0s",
	"creel sessions revoke":       "creel sessions revoke k3rb5xw2",
	"creel snapshot accept":       "creel snapshot accept 20261126T0154",
	"creel snapshot cat":          "creel snapshot cat latest notes/today.md\ncreel snapshot cat 20261126T0154 data.db > /tmp/data.db",
	"creel snapshot create":       `creel snapshot create --note "before the big change"`,
	"creel snapshot diff":         "creel snapshot diff 20261126T0154 latest",
	"creel snapshot export":       "creel snapshot export latest /tmp/state",
	"creel snapshot key export":   "creel snapshot key export > creel.key",
	"creel snapshot key import":   "creel snapshot key import < creel.key",
	"creel snapshot ls":           "creel snapshot ls latest\ncreel snapshot ls -R 20261126T0154 notes",
	"creel snapshot pin":          "creel snapshot pin latest",
	"creel snapshot prune":        "creel snapshot prune --dry-run",
	"creel snapshot remove":       "creel snapshot remove 20261126T0154",
	"creel snapshot restore":      "creel snapshot restore latest\ncreel snapshot restore 20261126T0154 --no-snapshot\ncreel snapshot restore --or-fresh",
	"creel snapshot show":         "creel snapshot show latest",
	"creel snapshot unpin":        "creel snapshot unpin 20261126T0154",
	"creel snapshot verify":       "creel snapshot verify\ncreel snapshot verify --all",
	"creel start":                 "creel start\ncreel start --take-over",
	"creel status":                "creel status\ncreel status --json | jq -r .state",
	"creel stop":                  "creel stop\ncreel stop --wait 30s",
	"creel tokens create":         "creel tokens create prometheus --scope read --expires 8760h\ncreel tokens create backup --scope read,operate",
	"creel tokens revoke":         "creel tokens revoke k3rb5xw2",
	"creel up":                    "creel up\ncreel up openclaw --listen 127.0.0.1:9090\nANTHROPIC_API_KEY=… creel up --config creel.yaml",
	"creel upgrade":               "install bin/creel /usr/local/bin/ && creel upgrade",
}

// giveExamples puts the examples to the commands.
func giveExamples(cmd *cobra.Command) {
	if text, ok := examples[cmd.CommandPath()]; ok && cmd.Example == "" {
		cmd.Example = "  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
	for _, sub := range cmd.Commands() {
		giveExamples(sub)
	}
}
