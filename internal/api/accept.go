package api

import (
	"net/http"
	"strconv"
	"strings"

	"creel/internal/problem"
)

// The media types of answers.
const (
	mediaJSON   = "application/json"
	mediaNDJSON = "application/x-ndjson"
	mediaSSE    = "text/event-stream"
	mediaText   = "text/plain"
	mediaBytes  = "application/octet-stream"
)

// choose gives the form of the answer that a request prefers (RFC 9110 §12.5.1);
// of those that it likes equally, and without a preference, the first. If it
// takes none of them, it is told so, and choose gives "".
func choose(w http.ResponseWriter, r *http.Request, offered ...string) string {
	w.Header().Add("Vary", "Accept")
	best, most := "", 0.0
	for _, media := range offered {
		if q := quality(r.Header.Values("Accept"), media); q > most {
			best, most = media, q
		}
	}
	if best == "" {
		d := problem.Document{
			Status: http.StatusNotAcceptable, Code: "not_acceptable", Title: "Not in that form", Detail: "the request accepts " + strings.Join(r.Header.Values("Accept"), ", "),
			Hint: "There are " + strings.Join(offered, ", ") + ".",
		}
		d.Write(w)
	}
	return best
}

// quality is how much a media type is wanted, from 0 to 1: what the most specific
// range says that it is in.
func quality(accept []string, media string) float64 {
	if len(accept) == 0 {
		return 1
	}
	kind, _, _ := strings.Cut(media, "/")
	q, specific := 0.0, -1
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		name, params, _ := strings.Cut(item, ";")
		how := -1
		switch strings.ToLower(strings.TrimSpace(name)) {
		case media:
			how = 2
		case kind + "/*":
			how = 1
		case "*/*":
			how = 0
		}
		if how > specific {
			q, specific = weight(params), how
		}
	}
	return q
}

// weight is the parameter q of a media range; what cannot be read counts as 1.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		if value, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(p)), "q="); ok {
			if q, err := strconv.ParseFloat(value, 64); err == nil && q >= 0 && q <= 1 {
				return q
			}
		}
	}
	return 1
}
