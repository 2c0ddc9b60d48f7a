package rpc

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// frameType is the sort of a frame.
type frameType string

const (
	frameRequest  frameType = "req"
	frameResponse frameType = "res"
	frameEvent    frameType = "event"
)

// frame is one message of the gateway: a response or an event. A request of the
// gateway's does not exist in protocol 4.
type frame struct {
	Type    frameType       `json:"type"`
	ID      string          `json:"id"`      // res: that of the request
	OK      bool            `json:"ok"`      // res
	Event   string          `json:"event"`   // event
	Payload json.RawMessage `json:"payload"` // of both
	Error   *wireError      `json:"error"`   // res, if not OK
	Seq     uint64          `json:"seq"`     // event: grows by one on a connection; 0: none
}

// wireError is the error of a response.
type wireError struct {
	Code         string          `json:"code"`
	Message      string          `json:"message"`
	Retryable    bool            `json:"retryable"`
	RetryAfterMs int64           `json:"retryAfterMs"`
	Details      json.RawMessage `json:"details"`
}

// errFrame says that a message is not one of the protocol's.
var errFrame = errors.New("not a frame of the gateway's protocol")

// decode reads one message. Frames of a type that is not known here are no
// error: their Type says so, and they are passed over. Members that are not known
// are ignored.
func decode(b []byte) (frame, error) {
	var f frame
	if err := json.Unmarshal(b, &f); err != nil {
		return frame{}, fmt.Errorf("%w: %w", errFrame, err)
	}
	switch {
	case f.Type == "":
		return frame{}, fmt.Errorf("%w: it has no type", errFrame)
	case f.Type == frameResponse && f.ID == "":
		return frame{}, fmt.Errorf("%w: a response without an id", errFrame)
	case f.Type == frameResponse && !f.OK && f.Error == nil:
		f.Error = &wireError{Code: "UNKNOWN", Message: "no reason given"}
	case f.Type == frameEvent && f.Event == "":
		return frame{}, fmt.Errorf("%w: an event without a name", errFrame)
	}
	return f, nil
}

// request is a frame to the gateway.
type request struct {
	Type   frameType `json:"type"`
	ID     string    `json:"id"`
	Method string    `json:"method"`
	Params any       `json:"params"`
}

// encode makes a request's message. params is of this package's own types or
// maps of them; nil is an empty object, since the gateway wants one.
func encode(id, method string, params any) ([]byte, error) {
	if params == nil {
		params = struct{}{}
	}
	b, err := json.Marshal(request{Type: frameRequest, ID: id, Method: method, Params: params})
	if err != nil {
		return nil, fmt.Errorf("cannot encode the parameters of %s: %w", method, err)
	}
	return b, nil
}

// milliseconds is a duration of the gateway's; what makes no sense is 0.
func milliseconds(n int64) time.Duration {
	const most = int64(24 * time.Hour / time.Millisecond)
	return time.Duration(min(max(n, 0), most)) * time.Millisecond
}

// Millis is a moment in milliseconds since 1970, as the gateway writes it; 0:
// never, or not known.
type Millis int64

// Time gives the moment in UTC; the zero Time for 0.
func (m Millis) Time() time.Time {
	if m <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}
