package moltenv

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"creel/internal/telemetry"
)

// Hint says that a variable has no effect as it is, and what has.
type Hint struct {
	Name string
	Text string // one sentence without a full stop
}

func (h Hint) String() string { return h.Name + " " + h.Text }

// replaced are moltworker's variables of which creel has settings of its own.
var replaced = map[string]string{
	"CF_ACCESS_TEAM_DOMAIN":   "is not read: set auth.access in creel.yaml for Cloudflare Access",
	"CF_ACCESS_AUD":           "is not read: set auth.access in creel.yaml for Cloudflare Access",
	"R2_ACCESS_KEY_ID":        "is not read: set snapshots.store in creel.yaml for a bucket, and see `creel import` for what moltworker has left in it",
	"R2_SECRET_ACCESS_KEY":    "is not read: set snapshots.store in creel.yaml for a bucket, and see `creel import` for what moltworker has left in it",
	"R2_BUCKET_NAME":          "is not read: set snapshots.store in creel.yaml for a bucket",
	"BACKUP_BUCKET_NAME":      "is not read: set snapshots.store in creel.yaml for a bucket",
	"CF_ACCOUNT_ID":           "is not read: the address of a bucket is snapshots.store in creel.yaml",
	"CLOUDFLARE_ACCOUNT_ID":   "is not read: the address of a bucket is snapshots.store in creel.yaml",
	"SANDBOX_SLEEP_AFTER":     "is not read: creel keeps the gateway running, or starts it with the first request (gateway.start: on-demand)",
	"CRON_WAKE_AHEAD_MINUTES": "is not read: the gateway does not sleep, so that its cron jobs run by themselves",
	"DEV_MODE":                "is not read: auth.mode says whether people sign in (`creel login` prints a link)",
	"E2E_TEST_MODE":           "is not read: auth.mode says whether people sign in (`creel login` prints a link)",
	"DEBUG_ROUTES":            "is not read: `creel status`, `creel events`, `creel logs` and `creel openclaw exec` show what those routes did",
	"CDP_SECRET":              "is not read: creel has no browser of its own to offer",
	"WORKER_URL":              "is not read: creel needs no address of its own for a browser",
}

// sharedNames mean something outside moltworker too, so that a hint follows only
// where other variables of moltworker's are set, and the gateway may see them.
var sharedNames = []string{"CF_ACCOUNT_ID", "CLOUDFLARE_ACCOUNT_ID", "DEV_MODE", "WORKER_URL", "R2_BUCKET_NAME", "BACKUP_BUCKET_NAME"}

// Token is the gateway's token that MOLTBOT_GATEWAY_TOKEN, or the older
// CLAWDBOT_GATEWAY_TOKEN, asks for; empty: none.
func Token(environ []string) telemetry.Secret {
	value, _ := variablesOf(environ).first("MOLTBOT_GATEWAY_TOKEN", "CLAWDBOT_GATEWAY_TOKEN")
	return telemetry.Secret(value)
}

// Hints are the variables that are set in vain, in the order of their names.
func Hints(environ []string) []Hint {
	v := variablesOf(environ)
	var hints []Hint
	for _, name := range slices.Sorted(maps.Keys(replaced)) {
		if v[name] != "" && (!slices.Contains(sharedNames, name) || v.moltworkers()) {
			hints = append(hints, Hint{name, replaced[name]})
		}
	}
	hints = append(hints, v.incomplete()...)
	return hints
}

// moltworkers tells whether there is a variable that nobody else has.
func (v variables) moltworkers() bool {
	_, name := v.first("MOLTBOT_GATEWAY_TOKEN", "CLAWDBOT_GATEWAY_TOKEN", "CF_ACCESS_AUD", "R2_ACCESS_KEY_ID", "CF_AI_GATEWAY_GATEWAY_ID", "SANDBOX_SLEEP_AFTER", "CDP_SECRET")
	return name != ""
}

// incomplete are variables that count only with others.
func (v variables) incomplete() []Hint {
	var hints []Hint
	together := func(names ...string) {
		var set, unset []string
		for _, name := range names {
			if v[name] != "" {
				set = append(set, name)
			} else {
				unset = append(unset, name)
			}
		}
		if len(set) > 0 && len(unset) > 0 {
			hints = append(hints, Hint{set[0], "has no effect without " + strings.Join(unset, " and ")})
		}
	}
	together("AI_GATEWAY_API_KEY", "AI_GATEWAY_BASE_URL")
	together("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN")
	if _, key := v.first(cloudflareKey...); key != "" || v["CF_AI_GATEWAY_MODEL"] != "" {
		_, account := v.first(cloudflareAccount...)
		_, gateway := v.first(cloudflareGateway...)
		for _, missing := range []struct{ found, name string }{{key, cloudflareKey[0]}, {account, cloudflareAccount[0]}, {gateway, cloudflareGateway[0]}} {
			if missing.found == "" {
				_, set := v.first("CF_AI_GATEWAY_MODEL", cloudflareKey[0])
				hints = append(hints, Hint{set, "has no effect without " + missing.name})
			}
		}
	}
	for _, form := range channelForms {
		c, whole, err := form.read(v)
		switch {
		case err != nil: // Channels tells of it
		case !whole && v[form.policy]+v[form.allow] != "":
			_, set := v.first(form.policy, form.allow)
			hints = append(hints, Hint{set, "has no effect without " + form.tokens[0].variable})
		case whole && c.Policy == PolicyAllowlist && len(c.AllowFrom) == 0:
			hints = append(hints, Hint{form.policy, fmt.Sprintf("lets nobody write to %s unless openclaw.json or %s names somebody", form.name, form.allow)})
		}
	}
	return hints
}

// Withheld are the variables that the gateway has no use for in its environment:
// they are for whoever looks after it. Tokens of channels are not among them,
// since openclaw.json may refer to them by name.
func Withheld() []string {
	names := []string{"MOLTBOT_GATEWAY_TOKEN", "CLAWDBOT_GATEWAY_TOKEN"}
	for name := range replaced {
		if !slices.Contains(sharedNames, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
