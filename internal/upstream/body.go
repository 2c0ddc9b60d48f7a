package upstream

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// copyBufferSize is for bodies on their way through.
const copyBufferSize = 32 << 10

// Buffers lends buffers for bodies on their way through, in either direction.
var Buffers = sync.Pool{New: func() any { b := make([]byte, copyBufferSize); return &b }}

// writeFraming ends the header section with the fields that say where the body
// ends (RFC 9112 §6).
func writeFraming(bw *bufio.Writer, r *Request) {
	switch {
	case r.Body == nil && len(r.Whole) == 0:
		// A user agent should say that a body it could have sent is empty (RFC 9110 §8.6).
		if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
			bw.WriteString("Content-Length: 0\r\n")
		}
	case r.Length >= 0:
		bw.WriteString("Content-Length: ")
		bw.Write(strconv.AppendInt(bw.AvailableBuffer(), r.Length, 10))
		bw.WriteString("\r\n")
	default:
		bw.WriteString("Transfer-Encoding: chunked\r\n")
	}
	bw.WriteString("\r\n")
}

// copyBody writes a body with its framing, each piece as soon as it is there.
func copyBody(bw *bufio.Writer, r *Request, body io.Reader) error {
	buf := Buffers.Get().(*[]byte)
	defer Buffers.Put(buf)
	chunked := r.Length < 0
	left := r.Length
	for {
		n, readErr := body.Read(*buf)
		if !chunked && int64(n) > left {
			return &BodyError{fmt.Errorf("it is longer than the %d bytes announced", r.Length)}
		}
		left -= int64(n)
		if n > 0 {
			if err := writePiece(bw, (*buf)[:n], chunked); err != nil {
				return err
			}
		}
		if readErr == nil {
			continue
		}
		if readErr != io.EOF {
			return &BodyError{readErr}
		}
		if !chunked {
			if left > 0 {
				return &BodyError{io.ErrUnexpectedEOF}
			}
			return nil
		}
		return writeLastChunk(bw, r.Client.Trailer())
	}
}

func writePiece(bw *bufio.Writer, b []byte, chunked bool) error {
	if chunked {
		bw.Write(strconv.AppendInt(bw.AvailableBuffer(), int64(len(b)), 16))
		bw.WriteString("\r\n")
	}
	bw.Write(b)
	if chunked {
		bw.WriteString("\r\n")
	}
	return bw.Flush() // bufio remembers the first error of the writes above
}

func writeLastChunk(bw *bufio.Writer, trailer http.Header) error {
	bw.WriteString("0\r\n")
	if err := trailer.Write(bw); err != nil {
		return err
	}
	bw.WriteString("\r\n")
	return bw.Flush()
}
