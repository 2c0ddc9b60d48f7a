package openclaw

import (
	"strings"

	"creel/internal/openclaw/moltenv"
)

// TokenPath is the key of the gateway's shared token, for Lock.
const TokenPath = "gateway.auth.token"

// ChannelSettings are what channels that the environment speaks of put into the
// configuration. A channel's object is a person's: keys are added to it, nothing in
// it is replaced that is not creel's, and who may write is a union.
func ChannelSettings(channels []moltenv.Channel) []Setting {
	var list []Setting
	for _, c := range channels {
		at := func(key string) []string { return []string{"channels", c.Name, key} }
		list = append(list, Setting{Path: at("enabled"), Value: true, Mode: Default})
		if c.Plugin != "" {
			// A plugin that does not come with OpenClaw is started only if it is told to.
			id := c.Plugin[strings.LastIndexByte(c.Plugin, '/')+1:]
			list = append(list, Setting{Path: []string{"plugins", "entries", id, "enabled"}, Value: true, Mode: Default})
		}
		for _, t := range c.Tokens {
			list = append(list, Setting{Path: at(t.Key), Value: t.Value.Reveal(), Mode: Default})
		}
		if c.Policy != "" {
			list = append(list, Setting{Path: at("dmPolicy"), Value: c.Policy, Mode: Default})
		}
		allow := Setting{Path: at("allowFrom"), Mode: Items}
		if len(c.AllowFrom) > 0 {
			allow.Value, allow.Else = c.AllowFrom, c.AllowFrom
		}
		if c.Policy == moltenv.PolicyOpen {
			// OpenClaw answers everybody only where the list says so too. A person
			// who has closed the channel in the Control UI meant it.
			allow.Value = append([]string{"*"}, c.AllowFrom...)
			allow.If = &Setting{Path: at("dmPolicy"), Value: moltenv.PolicyOpen}
		}
		list = append(list, allow)
	}
	return list
}
