package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"creel/internal/auth"
	"creel/internal/config"
	"creel/internal/surface"
)

// Settings is the configuration as it is in force.
type Settings struct {
	Settings []Setting        `json:"settings"` // in the order of docs/configuration.md
	Pending  []config.Change  `json:"pending"`  // what a reload has read and does not count yet
	Warnings []config.Warning `json:"warnings"`
}

// Setting is one key with its value, and where that comes from.
type Setting struct {
	Key string `json:"key"` // dotted, such as "gateway.ready.timeout"
	// Value has durations and sizes as in creel.yaml. What may be a secret is
	// "[redacted]".
	Value  any           `json:"value"`
	Source config.Source `json:"source"`
	Needs  config.Needs  `json:"needs"` // what has to happen before a change of it counts
}

// Finding is what doctor says of one thing.
type Finding = surface.Finding

// Findings is the answer to GET doctor.
type Findings struct {
	Findings []Finding `json:"findings"`
}

func (a *API) settingRoutes() []route {
	return []route{
		handle("GET", v1("config"), auth.Read, "getConfig", "The configuration as it is in force, each value with its source; secrets are redacted", a.config, jsonOf[Settings]()),
		handle("GET", v1("doctor"), auth.Read, "getFindings", "What keeps creel from doing all of its work on this machine", a.doctor, jsonOf[Findings]()),
	}
}

func (a *API) config(w http.ResponseWriter, r *http.Request, _ none) {
	if a.opts.Config == nil {
		notFound(w, r)
		return
	}
	cfg, sources := a.opts.Config()
	out := Settings{Settings: settingsOf(cfg, sources), Pending: []config.Change{}, Warnings: append([]config.Warning{}, cfg.Warnings()...)}
	if a.opts.Pending != nil {
		out.Pending = append(out.Pending, a.opts.Pending()...)
	}
	writeJSON(w, http.StatusOK, out)
}

func settingsOf(cfg *config.Config, sources *config.Sources) []Setting {
	list := []Setting{}
	for _, k := range config.Keys() {
		switch {
		case k.Kind == config.KindSection || strings.Contains(k.Path, "[]"):
		case k.Kind == config.KindVariables:
			vars, _ := k.Shown(cfg).(map[string]string)
			for _, name := range slices.Sorted(maps.Keys(vars)) {
				key := k.Path + "." + name
				list = append(list, Setting{key, vars[name], sources.Of(key), k.Needs})
			}
		default:
			list = append(list, Setting{k.Path, k.Shown(cfg), sources.Of(k.Path), k.Needs})
		}
	}
	return list
}

// doctorTime bounds what doctor looks at.
const doctorTime = 20 * time.Second

func (a *API) doctor(w http.ResponseWriter, r *http.Request, _ none) {
	if a.opts.Doctor == nil {
		notFound(w, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), doctorTime)
	defer cancel()
	writeJSON(w, http.StatusOK, Findings{append([]Finding{}, a.opts.Doctor(ctx)...)})
}
