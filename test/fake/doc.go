// Package fake is the outside world for tests without a network: services on
// loopback that answer as much as a gateway asks of them.
package fake

import (
	"encoding/json"
	"net/http"
)

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client may be gone
}
