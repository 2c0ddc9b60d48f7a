package api

import (
	_ "embed"
	"net/http"

	"creel/internal/auth"
)

//go:generate go test -run ^TestDocument$ . -update

// document is the OpenAPI document. It is made from the table by openapi_test.go.
//
//go:embed openapi.json
var document []byte

// documentRoutes: anyone may read it. It is the same for all creels of a version and
// tells nothing of this one.
func (a *API) documentRoutes() []route {
	return []route{
		handle("GET", v1("openapi.json"), auth.Public, "getDocument", "This document", func(w http.ResponseWriter, _ *http.Request, _ none) {
			w.Header().Set("Content-Type", mediaJSON)
			_, _ = w.Write(document) // the client may be gone
		}, jsonOf[map[string]any]()),
	}
}
