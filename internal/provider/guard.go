package provider

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// guard looks at a body on its way to the provider, where a model has a budget: the
// one "model" that was counted must be the only one. Of several, most servers take
// the last, and some take "Model" for it. What begins to be anything else is not sent
// on, so that the provider never has it whole.
//
// Rejected: to have the whole body before any of it is sent. Those with images are
// large, and the gateway sends many at once.
type guard struct {
	from    io.Reader
	depth   int
	quoted  bool   // in a string
	escaped bool   // behind a backslash in it
	key     bool   // in the outer object, where the next string is a name
	name    []byte // that string, as far as it matters
	models  int
	begun   bool
	failed  bool
}

// maxModelKey is how long the five letters may be, each written as \u006d.
const maxModelKey = len(`"model"`) + 5*len(`u006d`)

var errTwoModels = answerError{refuse(http.StatusBadRequest, "model_unknown", `there is a budget for a model, and the request does not say "model" once, and only so, in plain JSON`)}

// Read implements io.Reader.
func (g *guard) Read(p []byte) (int, error) {
	if g.failed {
		return 0, errTwoModels
	}
	n, err := g.from.Read(p)
	if !g.passes(p[:n]) {
		clear(p[:n])
		return 0, errTwoModels
	}
	return n, err
}

// passes looks at the next piece.
func (g *guard) passes(piece []byte) bool {
	for len(piece) > 0 && !g.failed {
		if g.quoted && !g.key && !g.escaped { // most of it
			end := bytes.IndexAny(piece, `"\`)
			if end < 0 {
				break
			}
			piece = piece[end:]
		}
		if g.quoted {
			g.inString(piece[0])
		} else {
			g.outside(piece[0])
		}
		piece = piece[1:]
	}
	return !g.failed
}

func (g *guard) inString(b byte) {
	if g.key && len(g.name) <= maxModelKey {
		g.name = append(g.name, b)
	}
	switch {
	case g.escaped:
		g.escaped = false
	case b == '\\':
		g.escaped = true
	case b == '"':
		g.quoted = false
		if g.key && len(g.name) <= maxModelKey {
			g.named()
		}
	}
}

// named looks at a name in the outer object.
func (g *guard) named() {
	var name string
	if json.Unmarshal(g.name, &name) != nil {
		g.failed = true
		return
	}
	if strings.EqualFold(name, "model") {
		g.models++
		g.failed = name != "model" || g.models > 1
	}
}

// outside looks at what is in no string. Beyond JSON there are comments and other
// quotes, which some servers know.
func (g *guard) outside(b byte) {
	switch b {
	case ' ', '\t', '\r', '\n':
		return
	case '{', '[':
		g.failed = g.begun && g.depth == 0
		g.depth++
		g.begun, g.key = true, b == '{' && g.depth == 1
	case '}', ']':
		g.depth--
		g.failed, g.key = g.depth < 0, false
	case ',':
		g.key = g.depth == 1
	case ':':
		g.key = false
	case '"':
		g.quoted, g.name = true, append(g.name[:0], b)
	default:
		g.failed = strings.IndexByte("0123456789+-.eEtrufalsn", b) < 0
	}
	g.failed = g.failed || g.depth == 0 && b != '}'
}
