package api

import (
	"context"
	"errors"
	"net/http"

	"creel/internal/auth"
	"creel/internal/openclaw"
	"creel/internal/openclaw/upgrade"
	"creel/internal/problem"
)

// Versions are those of OpenClaw.
type Versions interface {
	Versions() (OpenClawVersions, error)
	// Upgrade exchanges the version. It goes on when ctx ends.
	Upgrade(ctx context.Context, r upgrade.Request, progress func(upgrade.Step)) (openclaw.UpgradeReport, error)
}

// OpenClawVersions is what there is of versions.
type OpenClawVersions struct {
	Installed []openclaw.InstalledVersion `json:"installed"` // the newest last
	Used      string                      `json:"used"`
	Trial     *openclaw.Trial             `json:"trial,omitempty"` // an upgrade under way
	Last      *openclaw.UpgradeReport     `json:"last,omitempty"`
}

// VersionQuery asks for another version.
type VersionQuery struct {
	Version    string `query:"version" max:"64" doc:"the version to run; without it the one that this creel was tested with"`
	NoSnapshot bool   `query:"no_snapshot" doc:"do without a snapshot of the state, and without the old state if the version does not work"`
}

// VersionLine is one piece of the answer to an upgrade: a step as it is begun, and
// in the end the result or a problem.
type VersionLine struct {
	Step    *upgrade.Step           `json:"step,omitempty"`
	Result  *openclaw.UpgradeReport `json:"result,omitempty"`
	Problem *problem.Document       `json:"problem,omitempty"`
}

func (a *API) versionRoutes() []route {
	return []route{
		handle("GET", v1("openclaw/versions"), auth.Read, "listOpenClawVersions", "The versions of OpenClaw that are installed, and what has become of the last upgrade", a.listVersions, jsonOf[OpenClawVersions]()),
		handle("POST", v1("openclaw/upgrade"), auth.Admin, "upgradeOpenClaw", "Exchange the version of OpenClaw; if the new one does not work, the old one and its state come back", a.upgradeOpenClaw, linesOf[VersionLine](), eventsOf[VersionLine]()),
	}
}

func noVersions() *problem.Document {
	return &problem.Document{
		Status: http.StatusNotFound, Code: "not_openclaw", Title: "This gateway is not OpenClaw",
		Detail: "creel knows versions of OpenClaw, and this gateway is another program", Hint: "For an OpenClaw gateway: `creel up openclaw`.",
	}
}

func (a *API) listVersions(w http.ResponseWriter, _ *http.Request, _ none) {
	if a.opts.Versions == nil {
		noVersions().Write(w)
		return
	}
	v, err := a.opts.Versions.Versions()
	if err != nil {
		failed(w, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

func (a *API) upgradeOpenClaw(w http.ResponseWriter, r *http.Request, q VersionQuery) {
	if a.opts.Versions == nil {
		noVersions().Write(w)
		return
	}
	media := choose(w, r, mediaNDJSON, mediaSSE)
	if media == "" {
		return
	}
	a.stream(w, r, media, false, func(ctx context.Context, emit func(item) bool) {
		report, err := a.opts.Versions.Upgrade(ctx, upgrade.Request{Version: q.Version, NoSnapshot: q.NoSnapshot}, func(s upgrade.Step) {
			emit(item{data: VersionLine{Step: &s}}) // whoever is gone misses something, and it goes on
		})
		last := VersionLine{Result: &report}
		if err != nil {
			last = VersionLine{Problem: versionProblem(err)}
		}
		emit(item{event: "end", data: last})
	})
}

// versionProblem tells why a version was not exchanged.
func versionProblem(err error) *problem.Document {
	d := &problem.Document{Status: http.StatusInternalServerError, Code: "upgrade_failed", Title: "OpenClaw was not upgraded", Detail: err.Error(), Hint: "See `creel status` and `creel events`."}
	var (
		refused *upgrade.RefusedError
		install *openclaw.InstallError
	)
	switch {
	case errors.As(err, &refused):
		d.Status, d.Code, d.Detail, d.Hint = http.StatusConflict, refused.Code, refused.Reason, refused.Next
	case errors.As(err, &install):
		d.Status, d.Code, d.Hint = http.StatusBadGateway, string(install.Reason), "The gateway runs on as before."
	}
	return d
}
