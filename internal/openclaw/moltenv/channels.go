package moltenv

import (
	"fmt"
	"slices"

	"creel/internal/telemetry"
)

// How a channel treats people who write to it for the first time, in OpenClaw's
// words (channels.*.dmPolicy).
const (
	PolicyPairing   = "pairing"   // they get a code, which the owner approves
	PolicyAllowlist = "allowlist" // those of the list are answered, nobody else
	PolicyOpen      = "open"      // everybody is answered
	PolicyDisabled  = "disabled"  // nobody is
)

var policies = []string{PolicyPairing, PolicyAllowlist, PolicyOpen, PolicyDisabled}

// Channel is a chat network that variables speak of.
type Channel struct {
	Name      string       // its name in OpenClaw's channels
	Tokens    []Credential // what it logs in with
	Policy    string       // for direct messages; empty: OpenClaw's own, pairing
	AllowFrom []string     // who may write, beside those whom the owner lets in
	From      []string     // the variables that say so
	Plugin    string       // the npm package of its plugin; empty: it comes with OpenClaw
}

// Credential is a secret of a channel.
type Credential struct {
	Key   string // its key in the channel's object
	Value telemetry.Secret
}

// channelForm says which variables a channel is made of.
type channelForm struct {
	name   string
	tokens []struct{ variable, key string }
	policy string
	allow  string
	plugin string
}

var channelForms = []channelForm{
	{"telegram", []struct{ variable, key string }{{"TELEGRAM_BOT_TOKEN", "botToken"}}, "TELEGRAM_DM_POLICY", "TELEGRAM_DM_ALLOW_FROM", ""},
	{"discord", []struct{ variable, key string }{{"DISCORD_BOT_TOKEN", "token"}}, "DISCORD_DM_POLICY", "DISCORD_DM_ALLOW_FROM", "@openclaw/discord"},
	{"slack", []struct{ variable, key string }{{"SLACK_BOT_TOKEN", "botToken"}, {"SLACK_APP_TOKEN", "appToken"}}, "SLACK_DM_POLICY", "SLACK_DM_ALLOW_FROM", "@openclaw/slack"},
}

// Channels are the channels that the variables speak of. One whose tokens are not
// all there is not among them (see Hints). The error is a *VariableError.
func Channels(environ []string) ([]Channel, error) {
	v := variablesOf(environ)
	var list []Channel
	for _, form := range channelForms {
		c, whole, err := form.read(v)
		if err != nil {
			return nil, err
		}
		if whole {
			list = append(list, c)
		}
	}
	return list, nil
}

// read is the channel, and whether all of its tokens are there.
func (f channelForm) read(v variables) (c Channel, whole bool, err error) {
	c = Channel{Name: f.name, Plugin: f.plugin}
	for _, t := range f.tokens {
		if v[t.variable] == "" {
			return c, false, nil
		}
		c.Tokens = append(c.Tokens, Credential{Key: t.key, Value: telemetry.Secret(v[t.variable])})
		c.From = append(c.From, t.variable)
	}
	if c.Policy = v[f.policy]; c.Policy != "" {
		if !slices.Contains(policies, c.Policy) {
			return c, false, &VariableError{f.policy, fmt.Sprintf("it is none of %q", policies)}
		}
		c.From = append(c.From, f.policy)
	}
	if c.AllowFrom = v.list(f.allow); c.AllowFrom != nil {
		c.From = append(c.From, f.allow)
	}
	return c, true, nil
}
