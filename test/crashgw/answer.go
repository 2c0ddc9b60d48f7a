package crashgw

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// answer is a response that is kept back, so that part of it can be sent.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// answer500 is a complete answer of a gateway that is about to end.
func answer500(why string) *answer {
	a := &answer{header: make(http.Header)}
	writeJSON(a, http.StatusInternalServerError, failure{why})
	return a
}

// replay gives the whole answer to w.
func (a *answer) replay(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	// A client that has gone away is its own affair.
	_, _ = w.Write(a.body.Bytes())
}

// wire is what the answer looks like on the connection in the given mode: all of
// it, or what is out when the process dies.
func (a *answer) wire(m mode) []byte {
	a.WriteHeader(http.StatusOK)
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	body := a.body.Bytes()
	half := body[:len(body)/2]
	if m == midChunked {
		a.header.Del("Content-Length")
		a.header.Set("Transfer-Encoding", "chunked")
	} else {
		a.header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	// Writing to a buffer does not fail.
	_ = a.header.Write(&out)
	out.WriteString("\r\n")
	switch m {
	case afterHeaders:
	case midBody:
		out.Write(half)
	case midChunked:
		for _, piece := range [][]byte{half[:len(half)/2], half[len(half)/2:]} {
			if len(piece) > 0 {
				fmt.Fprintf(&out, "%x\r\n%s\r\n", len(piece), piece)
			}
		}
	default:
		out.Write(body)
	}
	return out.Bytes()
}
