package api

import (
	"errors"
	"net/http"

	"creel/internal/config"
	"creel/internal/problem"
)

// Reload is what came of reading the configuration again.
type Reload struct {
	Applied  []config.Change   `json:"applied"`            // what counts from now on
	Waiting  []config.Change   `json:"waiting"`            // all that does not count yet, of earlier reloads too; each says what it needs
	Problems []*config.Problem `json:"problems,omitempty"` // what is wrong with it; nothing was changed then
	More     int               `json:"more,omitempty"`     // problems beyond those
	Warnings []config.Warning  `json:"warnings,omitempty"`
}

// Codes of the problem documents of a reload.
const (
	CodeConfigInvalid = "config_invalid" // 422; it is Reload with its problems, not a problem document
	CodeConfigRefused = "config_refused" // 409
)

// reload reads the configuration again: 200 with what has changed, 422 with
// what is wrong with it, 409 if it is no configuration for this creel.
func (a *API) reload(w http.ResponseWriter, r *http.Request, _ none) {
	if a.opts.Reload == nil {
		notFound(w, r)
		return
	}
	result, err := a.opts.Reload(r.Context())
	var problems *config.Problems
	var refused interface{ RefusedConfig() }
	switch {
	case err == nil:
		result.Applied, result.Waiting = append([]config.Change{}, result.Applied...), append([]config.Change{}, result.Waiting...)
		writeJSON(w, http.StatusOK, result)
	case errors.As(err, &problems):
		writeJSON(w, http.StatusUnprocessableEntity, Reload{Applied: []config.Change{}, Waiting: []config.Change{}, Problems: problems.List, More: problems.More})
	case errors.As(err, &refused):
		d := problem.Document{Status: http.StatusConflict, Code: CodeConfigRefused, Title: "The configuration is not for this creel", Detail: err.Error()}
		d.Write(w)
	default:
		failed(w, err)
	}
}
