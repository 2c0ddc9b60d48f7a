package api

import (
	"net/http"

	"creel/internal/auth"
	"creel/internal/provider"
)

// providerRoutes tell of the gateway's model providers. No key is in the answer.
func (a *API) providerRoutes() []route {
	return []route{
		handle("GET", v1("providers"), auth.Read, "listProviders", "The model providers, what was asked of them each day, and what is left of budgets", func(w http.ResponseWriter, _ *http.Request, _ none) {
			report := provider.Report{}
			if a.opts.Providers != nil {
				report = a.opts.Providers()
			}
			if report.Providers == nil {
				report.Providers = []provider.State{}
			}
			writeJSON(w, http.StatusOK, report)
		}, jsonOf[provider.Report]()),
	}
}
