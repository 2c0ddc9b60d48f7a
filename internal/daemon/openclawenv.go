package daemon

import (
	"errors"
	"fmt"
	"strings"

	"creel/internal/config"
	"creel/internal/gateway"
	"creel/internal/health"
	"creel/internal/openclaw"
	"creel/internal/openclaw/moltenv"
	"creel/internal/telemetry"
)

// variables are those that OpenClaw's settings are read from, as NAME=value, the
// first of a name counting: the gateway's own, creel's environment, and the file
// gateway.openclaw.dev_vars.
func (o *openClaw) variables(g config.Gateway) ([]string, error) {
	var list []string
	for name, value := range g.Env {
		list = append(list, name+"="+value)
	}
	inherited, err := o.inherited(g)
	return append(list, inherited...), err
}

// inherited is creel's environment, as the gateway may inherit it: without the keys
// of its model providers, which creel holds.
func (o *openClaw) inherited(g config.Gateway) ([]string, error) {
	list, err := openclaw.WithDevVars(o.environ, g.OpenClaw.DevVars)
	return o.providers.without(list), err
}

// fromVariables completes what creel decides for OpenClaw with what variables say.
func (o *openClaw) fromVariables(g config.Gateway, s *openclaw.Settings) error {
	environ, err := o.variables(g)
	if err != nil {
		return variablesRefused(err)
	}
	all, err := openclaw.WithDevVars(o.all, g.OpenClaw.DevVars)
	if err != nil {
		return variablesRefused(err)
	}
	channels, err := moltenv.Channels(environ)
	if err != nil {
		return variablesRefused(err)
	}
	s.Token, s.TokenMode = moltenv.Token(environ), openclaw.Default
	if openclaw.Locks(g.OpenClaw.Lock, openclaw.TokenPath) {
		s.TokenMode = openclaw.Own
	}
	s.Extra = append(openclaw.ChannelSettings(channels), o.providers.settings()...)
	s.Extra = openclaw.Lock(s.Extra, g.OpenClaw.Lock)
	secrets := []telemetry.Secret{s.Token}
	for _, c := range channels {
		for _, t := range c.Tokens {
			secrets = append(secrets, t.Value)
		}
	}
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		// What is too short to be told from other words is no secret of a provider's.
		if err := telemetry.Register(secret.Reveal()); err != nil && !errors.Is(err, telemetry.ErrWeakSecret) {
			return fmt.Errorf("cannot keep a secret of the environment out of logs: %w", err)
		}
	}
	o.hint(append(listOf(g.Env), all...))
	return nil
}

func variablesRefused(err error) error {
	return &gateway.PlanError{Cause: gateway.CauseConfigRefused, Hint: "Correct the variable, then `creel restart` (creel's own environment is read when creel starts).", Permanent: true, Err: err}
}

// hint tells of variables that are set in vain, and of keys that are not kept from the
// gateway.
func (o *openClaw) hint(environ []string) {
	if names := o.providers.reaching(environ); len(names) > 0 {
		o.health.Set(health.Keys, health.Warning, "the gateway itself has "+strings.Join(names, ", ")+", and whatever runs in it can read that: creel holds no keys of these providers",
			"see docs/providers.md, \"Keys that reach the gateway\"")
	} else {
		o.health.Clear(health.Keys)
	}
	hints := moltenv.Hints(environ)
	if len(hints) == 0 {
		o.health.Clear(health.Variables)
		return
	}
	words := make([]string, len(hints))
	for i, h := range hints {
		words[i] = h.String()
	}
	o.health.Set(health.Variables, health.Info, strings.Join(words, "; "), "see docs/openclaw.md, \"Coming from moltworker\"")
}
