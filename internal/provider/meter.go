package provider

import (
	"bytes"
	"encoding/json"
)

// meter reads from an answer how many tokens were used. It is given the answer in
// pieces, as they were passed on, keeps no more of it than a line (of a stream) or
// its end (of a document), and is told nothing that it could change.
//
// Where the APIs tell it:
//
//	OpenAI chat completions   "usage":{"prompt_tokens":…,"completion_tokens":…}, in the body, and in
//	                          the last piece of a stream if stream_options.include_usage was set
//	OpenAI responses          "usage":{"input_tokens":…,"output_tokens":…}, in a stream within response.completed
//	Anthropic messages        "usage":{"input_tokens":…,"output_tokens":…,"cache_…_input_tokens":…}, in a stream
//	                          within message_start, and what has grown within message_delta
//	Gemini                    "usageMetadata":{"promptTokenCount":…,"toolUsePromptTokenCount":…,
//	                          "candidatesTokenCount":…,"thoughtsTokenCount":…}, in each piece of a stream
//	Ollama                    "prompt_eval_count":…,"eval_count":… in the last line
//
// In JSON `"usage":{` cannot be part of a text, where quotes are escaped. Of several
// the last counts, field by field: counts grow.
type meter struct {
	lines  bool   // a stream: lines; else a document
	line   []byte // what has come of the line, or the end of the document
	skip   bool   // the line is too long: it is not looked at
	usage  usage
	failed bool // a stream that tells of an error
}

const (
	// maxLine is the longest line that is looked at. Those that tell of usage are
	// some hundred bytes; the last one of the responses API repeats the answer.
	maxLine = 1 << 20
	// maxEnd is how much of a document's end is kept: usage comes behind the text.
	maxEnd = 16 << 10
)

// usage is what an answer tells; nil: it does not.
type usage struct {
	Prompt        *int64 `json:"prompt_tokens"`
	Completion    *int64 `json:"completion_tokens"`
	Input         *int64 `json:"input_tokens"`
	Output        *int64 `json:"output_tokens"`
	CacheCreation *int64 `json:"cache_creation_input_tokens"`
	CacheRead     *int64 `json:"cache_read_input_tokens"`
	PromptEval    *int64 `json:"prompt_eval_count"`
	Eval          *int64 `json:"eval_count"`
	GeminiPrompt  *int64 `json:"promptTokenCount"` // what was cached is in it
	GeminiTools   *int64 `json:"toolUsePromptTokenCount"`
	GeminiAnswer  *int64 `json:"candidatesTokenCount"`
	GeminiThought *int64 `json:"thoughtsTokenCount"`
}

// tokens are those that went in and out; ok is false if the answer has not told.
func (u *usage) tokens() (in, out int64, ok bool) {
	for _, n := range []*int64{u.Prompt, u.Input, u.CacheCreation, u.CacheRead, u.PromptEval, u.GeminiPrompt, u.GeminiTools} {
		in += atLeastZero(n)
	}
	for _, n := range []*int64{u.Completion, u.Output, u.Eval, u.GeminiAnswer, u.GeminiThought} {
		out += atLeastZero(n)
	}
	ok = u.Prompt != nil || u.Completion != nil || u.Input != nil || u.Output != nil || u.PromptEval != nil || u.Eval != nil || u.GeminiPrompt != nil || u.GeminiAnswer != nil
	return in, out, ok
}

// maxTokens is more than any answer has: a number beyond is a mistake, and must
// not use up a budget for good.
const maxTokens = 1 << 32

func atLeastZero(n *int64) int64 {
	if n == nil || *n < 0 || *n > maxTokens {
		return 0
	}
	return *n
}

// feed takes the next piece.
func (m *meter) feed(piece []byte) {
	if !m.lines {
		m.keepEnd(piece)
		return
	}
	for len(piece) > 0 {
		i := bytes.IndexByte(piece, '\n')
		if i < 0 {
			m.keepLine(piece)
			return
		}
		if len(m.line) == 0 && !m.skip { // the usual case: nothing is copied
			m.look(piece[:i])
		} else {
			m.keepLine(piece[:i])
			m.endLine()
		}
		piece = piece[i+1:]
	}
}

// keepLine adds to the line that has not ended.
func (m *meter) keepLine(piece []byte) {
	if m.skip || len(m.line)+len(piece) > maxLine {
		m.line, m.skip = m.line[:0], true
		return
	}
	m.line = append(m.line, piece...)
}

func (m *meter) endLine() {
	if !m.skip {
		m.look(m.line)
	}
	m.line, m.skip = m.line[:0], false
}

// keepEnd keeps the end of a document.
func (m *meter) keepEnd(piece []byte) {
	if len(piece) > maxEnd {
		m.line, piece = m.line[:0], piece[len(piece)-maxEnd:]
	}
	if over := len(m.line) + len(piece) - maxEnd; over > 0 {
		m.line = append(m.line[:0], m.line[over:]...)
	}
	m.line = append(m.line, piece...)
}

// end is called when the answer has ended.
func (m *meter) end() {
	m.endLine()
	m.line = nil
}

var (
	wordUsage  = []byte(`"usage"`)
	wordGemini = []byte(`"usageMetadata"`)
	wordEval   = []byte(`"eval_count"`)
	dataField  = []byte("data:")
	errorEvent = []byte("event: error")
	errorData  = []byte(`{"error"`)
)

// look reads a line of a stream, or the end of a document.
func (m *meter) look(text []byte) {
	if m.lines {
		if data, ok := bytes.CutPrefix(text, dataField); ok {
			text = bytes.TrimSpace(data)
			m.failed = m.failed || bytes.HasPrefix(text, errorData)
		} else if bytes.HasPrefix(text, errorEvent) {
			m.failed = true
		}
	}
	// Gemini's first: the arguments of tools are no texts there, and may have a "usage".
	if m.lookBehind(text, wordGemini) || m.lookBehind(text, wordUsage) {
		return
	}
	if bytes.Contains(text, wordEval) {
		m.read(bytes.TrimSpace(text)) // Ollama's: the line is the object
	}
}

// lookBehind reads the last object of that name that tells anything, and reports whether
// there is one.
func (m *meter) lookBehind(text, name []byte) bool {
	for rest := text; ; {
		i := bytes.LastIndex(rest, name)
		if i < 0 {
			return false
		}
		if object := objectAfter(text[i+len(name):]); object != nil && m.read(object) {
			return true
		}
		rest = rest[:i]
	}
}

// objectAfter is what begins with "{" behind the ":" that follows a name; nil: it
// is no object.
func objectAfter(b []byte) []byte {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 || b[0] != ':' {
		return nil
	}
	b = bytes.TrimLeft(b[1:], " \t\r\n")
	if len(b) == 0 || b[0] != '{' {
		return nil
	}
	return b
}

// read takes what an object tells, and reports whether it tells anything.
func (m *meter) read(object []byte) bool {
	var u usage
	if json.NewDecoder(bytes.NewReader(object)).Decode(&u) != nil {
		return false
	}
	told := false
	for _, f := range []struct{ have, got **int64 }{
		{&m.usage.Prompt, &u.Prompt}, {&m.usage.Completion, &u.Completion}, {&m.usage.Input, &u.Input}, {&m.usage.Output, &u.Output},
		{&m.usage.CacheCreation, &u.CacheCreation}, {&m.usage.CacheRead, &u.CacheRead}, {&m.usage.PromptEval, &u.PromptEval}, {&m.usage.Eval, &u.Eval},
		{&m.usage.GeminiPrompt, &u.GeminiPrompt}, {&m.usage.GeminiTools, &u.GeminiTools}, {&m.usage.GeminiAnswer, &u.GeminiAnswer}, {&m.usage.GeminiThought, &u.GeminiThought},
	} {
		if *f.got != nil {
			*f.have, told = *f.got, true
		}
	}
	return told
}
