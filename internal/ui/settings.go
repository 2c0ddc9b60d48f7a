package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/health"
	"creel/internal/telemetry"
)

// settingsPage is what the page of settings shows.
type settingsPage struct {
	Groups   []settingGroup
	Chosen   []setting // of all groups
	Pending  []config.Change
	Health   []health.Report
	Findings []Finding
	Doctor   bool
	Identity bool
	Open     bool // nobody is asked who they are
	SignIn   signIn
	Sessions []sessionRow
	Tokens   []auth.Token
	Started  time.Time
	Listen   string
	Lives    []lifetime
}

// settingGroup is a section of the configuration.
type settingGroup struct {
	Name     string
	Defaults []setting // values that nobody has set
}

type setting struct {
	Key    string
	Value  string
	Source string
	Needs  string
	Env    string
}

type sessionRow struct {
	auth.Session
	This bool // that of whoever looks
}

// lifetime is for how long a token may be made.
type lifetime struct {
	Value, Title string
	length       time.Duration
}

var lifetimes = []lifetime{
	{"30d", "30 days", 30 * 24 * time.Hour}, {"1d", "1 day", 24 * time.Hour}, {"90d", "90 days", 90 * 24 * time.Hour}, {"365d", "1 year", 365 * 24 * time.Hour}, {"never", "no end", 0},
}

// doctorTime is how long a look at the machine may take.
const doctorTime = 3 * time.Second

func settingsData(u *UI, r *http.Request) (any, error) {
	p := settingsPage{Started: u.opts.StartedAt, Listen: u.opts.Listen, Lives: lifetimes, Doctor: u.opts.Doctor != nil}
	if u.opts.Config != nil {
		p.Groups, p.Chosen = settingsOf(u.opts.Config())
	}
	if u.opts.Pending != nil {
		p.Pending = u.opts.Pending()
	}
	if u.opts.Health != nil {
		p.Health = slices.Clone(u.opts.Health())
		for i := range p.Health {
			p.Health[i].Message, p.Health[i].Hint = telemetry.Redact(p.Health[i].Message), telemetry.Redact(p.Health[i].Hint)
		}
	}
	if p.Doctor && r.URL.Query().Get("doctor") != "" {
		ctx, cancel := context.WithTimeout(r.Context(), doctorTime)
		defer cancel()
		p.Findings = u.opts.Doctor(ctx)
	}
	who := auth.From(r.Context())
	if u.opts.Identity == nil || !who.May(auth.Admin) {
		return p, nil
	}
	p.Identity, p.Tokens, p.Open = true, u.opts.Identity.Tokens(), u.opts.Identity.Open()
	p.SignIn = signInOf(u.opts.Identity, who)
	for _, s := range u.opts.Identity.Sessions() {
		p.Sessions = append(p.Sessions, sessionRow{s, s.ID == who.Session && who.Session != ""})
	}
	slices.SortStableFunc(p.Sessions, func(a, b sessionRow) int { return b.LastSeen.Compare(a.LastSeen) })
	return p, nil
}

// settingsOf lists the configuration in force: by section what is default, and all
// that is not.
func settingsOf(cfg *config.Config, from *config.Sources) (groups []settingGroup, chosen []setting) {
	for _, k := range config.Keys() {
		if k.Kind == config.KindSection || strings.Contains(k.Path, "[]") {
			continue
		}
		name, _, inside := strings.Cut(k.Path, ".")
		if !inside {
			name = "creel"
		}
		i := slices.IndexFunc(groups, func(g settingGroup) bool { return g.Name == name })
		if i < 0 {
			i = len(groups)
			groups = append(groups, settingGroup{Name: name})
		}
		source := from.Of(k.Path)
		s := setting{Key: k.Path, Value: shownSetting(k.Shown(cfg)), Source: source.String(), Needs: string(k.Needs), Env: k.Env}
		if source.Origin == config.OriginDefault {
			groups[i].Defaults = append(groups[i].Defaults, s)
		} else {
			chosen = append(chosen, s)
		}
	}
	return groups, chosen
}

// shownSetting writes a value as a person would.
func shownSetting(v any) string {
	switch v := v.(type) {
	case string:
		if v == "" {
			return "(empty)"
		}
		return v
	case json.RawMessage:
		return strings.TrimSpace(string(v))
	case map[string]string:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		if len(names) == 0 {
			return "(none)"
		}
		return strings.Join(names, ", ")
	}
	return fmt.Sprint(v)
}

func revokeSession(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Identity == nil {
		return "", flash{}, errNoIdentity
	}
	if err := u.opts.Identity.RevokeSession(r.PostForm.Get("id")); err != nil {
		return "", flash{}, err
	}
	return "", flash{Tone: toneOK, Text: "The session was ended, and what it had open is closed."}, nil
}

func revokeToken(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Identity == nil {
		return "", flash{}, errNoIdentity
	}
	if err := u.opts.Identity.RevokeToken(r.PostForm.Get("id")); err != nil {
		return "", flash{}, err
	}
	return "", flash{Tone: toneOK, Text: "The token was revoked, and what it had open is closed."}, nil
}

var errNoIdentity = &pageError{http.StatusNotFound, "Nobody is asked who they are", "This creel asks nobody who they are.", ""}

// createToken makes a token. Nobody can hand on a right that they do not have.
func createToken(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Identity == nil {
		return "", flash{}, errNoIdentity
	}
	name := strings.TrimSpace(r.PostForm.Get("name"))
	if name == "" || len(name) > 100 {
		return "", flash{}, &pageError{http.StatusBadRequest, "", "A token needs a name of at most 100 bytes", "Name it for what it is used by."}
	}
	who := auth.From(r.Context())
	var scopes []auth.Scope
	for _, s := range r.PostForm["scope"] {
		if !slices.Contains(auth.OwnerScopes, auth.Scope(s)) || !who.May(auth.Scope(s)) {
			return "", flash{}, &pageError{http.StatusBadRequest, "", "You cannot hand on the right " + strconv.Quote(clip(s, 40)), ""}
		}
		scopes = append(scopes, auth.Scope(s))
	}
	if len(scopes) == 0 {
		return "", flash{}, &pageError{http.StatusBadRequest, "", "A token without any right is of no use", "Choose at least one."}
	}
	i := slices.IndexFunc(lifetimes, func(l lifetime) bool { return l.Value == r.PostForm.Get("expires") })
	if i < 0 {
		return "", flash{}, &pageError{http.StatusBadRequest, "", "No such length of time", ""}
	}
	var expires time.Time
	if d := lifetimes[i].length; d > 0 {
		expires = time.Now().Add(d)
	}
	secret, token, err := u.opts.Identity.CreateToken(name, scopes, expires)
	if err != nil {
		return "", flash{}, err
	}
	return "", flash{Tone: toneOK, Text: "The token “" + token.Name + "” was made. This is the only time that it is shown:", Secret: secret}, nil
}

// loginLink makes a link that lets a person in, once.
func loginLink(u *UI, r *http.Request) (string, flash, error) {
	if u.opts.Identity == nil {
		return "", flash{}, errNoIdentity
	}
	who := auth.From(r.Context())
	lacks := func(s auth.Scope) bool { return !who.May(s) }
	if who.Kind == auth.KindToken || slices.ContainsFunc(auth.OwnerScopes, lacks) {
		// The link gives every scope, and its session outlives a token.
		return "", flash{}, &pageError{http.StatusForbidden, "", "Only an owner who is signed in can make a link for another browser.", ""}
	}
	path, expires, err := u.opts.Identity.LoginLink(r.Context())
	if err != nil {
		return "", flash{}, err
	}
	return "", flash{Tone: toneOK, Text: "Whoever opens this link first is signed in as an owner. It is good until " + expires.Local().Format("15:04:05") + ", once, and is shown only now:", Path: path}, nil
}
