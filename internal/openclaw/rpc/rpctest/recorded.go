// Package rpctest is an OpenClaw gateway for tests: its WebSocket protocol as a
// management client sees it, with answers that were recorded from OpenClaw
// 2026.9.6 (recorded/*.jsonl; the token and what identifies the machine are
// replaced).
package rpctest

import (
	"embed"
	"encoding/json"
	"strings"
	"testing"
)

//go:embed recorded/*.jsonl
var recorded embed.FS

// Frame is one message of a recording.
type Frame struct {
	ToGateway bool
	Close     int // close code; 0: a message
	Text      string
}

// Frames gives a recording, such as "devices".
func Frames(t testing.TB, name string) []Frame {
	t.Helper()
	b, err := recorded.ReadFile("recorded/" + name + ".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var list []Frame
	for line := range strings.Lines(string(b)) {
		var raw []any
		if err := json.Unmarshal([]byte(line), &raw); err != nil {
			t.Fatal(err)
		}
		f := Frame{ToGateway: raw[0] == ">"}
		if raw[0] == "close" {
			f.Close = int(raw[1].(float64))
		} else {
			f.Text = raw[1].(string)
		}
		list = append(list, f)
	}
	return list
}

// response is a recorded reply.
type response struct {
	Type, ID string
	OK       bool
	Payload  json.RawMessage
	Error    json.RawMessage
}

// Replies gives the recorded replies to a method, in order: payloads, and errors
// with isError.
func replies(t testing.TB, name, method string) []response {
	t.Helper()
	asked := map[string]bool{}
	var list []response
	for _, f := range Frames(t, name) {
		var m struct{ ID, Method string }
		if f.Text == "" || json.Unmarshal([]byte(f.Text), &m) != nil {
			continue
		}
		if f.ToGateway {
			asked[m.ID] = m.Method == method
			continue
		}
		var r response
		if json.Unmarshal([]byte(f.Text), &r) == nil && r.Type == "res" && asked[r.ID] {
			list = append(list, r)
		}
	}
	if list == nil {
		t.Fatalf("the recording %s has no reply to %s", name, method)
	}
	return list
}

// Payload gives the nth recorded answer to a method, from 0.
func Payload(t testing.TB, name, method string, n int) json.RawMessage {
	t.Helper()
	return replies(t, name, method)[n].Payload
}

// Refusal gives the first recorded refusal of a method.
func Refusal(t testing.TB, name, method string) json.RawMessage {
	t.Helper()
	for _, r := range replies(t, name, method) {
		if !r.OK {
			return r.Error
		}
	}
	t.Fatalf("the recording %s has no refusal of %s", name, method)
	return nil
}
