package provider

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// answers are as providers give them, shortened, with the tokens that they tell of.
var answers = map[string]struct {
	lines   bool
	text    string
	in, out int64
	told    bool
	failed  bool
}{
	"openai":                               {false, `{"id":"c","choices":[{"message":{"content":"the \"usage\":{\"prompt_tokens\":9} of it"}}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":5}},"service_tier":"default"}`, 19, 10, true, false},
	"openai in several lines":              {false, "{\n  \"usage\": {\n    \"prompt_tokens\": 19,\n    \"completion_tokens\": 10\n  }\n}\n", 19, 10, true, false},
	"openai with a long answer":            {false, `{"choices":[{"message":{"content":"` + strings.Repeat("word ", 100000) + `"}}],"usage":{"prompt_tokens":1,"completion_tokens":100000}}`, 1, 100000, true, false},
	"openai stream":                        {true, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n", 8, 3, true, false},
	"openai stream that counts as it goes": {true, "data: {\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1}}\n\ndata: {\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":2}}\n\n", 8, 2, true, false},
	"openai stream without usage":          {true, "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n", 0, 0, false, false},
	"openai responses stream":              {true, "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\r\n\r\nevent: response.completed\r\ndata: {\"type\":\"response.completed\",\"response\":{\"output\":[],\"usage\":{\"input_tokens\":75,\"input_tokens_details\":{\"cached_tokens\":32},\"output_tokens\":1186,\"total_tokens\":1261}}}\r\n\r\n", 75, 1186, true, false},
	"anthropic":                            {false, `{"type":"message","content":[{"type":"tool_use","input":{"usage":{"input_tokens":7}}}],"usage":{"input_tokens":2095,"cache_creation_input_tokens":100,"cache_read_input_tokens":200,"output_tokens":503}}`, 2395, 503, true, false},
	"anthropic stream":                     {true, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":25,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":15}}\n\n", 30, 15, true, false},
	"anthropic stream that fails":          {true, "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", 25, 1, true, true},
	"openai stream that fails":             {true, "data: {\"error\":{\"message\":\"x\"}}\n\ndata: [DONE]\n\n", 0, 0, false, true},
	"gemini":                               {false, "{\n  \"candidates\": [{\"content\": {\"parts\": [{\"text\": \"the \\\"usageMetadata\\\":{\\\"promptTokenCount\\\":9} of it\"}]}}],\n  \"usageMetadata\": {\n    \"promptTokenCount\": 20,\n    \"candidatesTokenCount\": 7,\n    \"totalTokenCount\": 60,\n    \"cachedContentTokenCount\": 5,\n    \"promptTokensDetails\": [{\"modality\": \"TEXT\", \"tokenCount\": 20}],\n    \"toolUsePromptTokenCount\": 3,\n    \"thoughtsTokenCount\": 30\n  },\n  \"modelVersion\": \"gemini-2.5-pro\"\n}\n", 23, 37, true, false},
	"gemini stream":                        {true, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hi\"}]}}],\"usageMetadata\": {\"promptTokenCount\": 8,\"totalTokenCount\": 8}}\r\n\r\ndata: {\"candidates\": [{\"content\": {\"parts\": [{\"functionCall\": {\"args\": {\"usage\": {\"input_tokens\": 99}}}}]},\"finishReason\": \"STOP\"}],\"usageMetadata\": {\"promptTokenCount\": 8,\"candidatesTokenCount\": 3,\"totalTokenCount\": 11}}\r\n\r\n", 8, 3, true, false},
	"gemini stream in an array":            {false, "[{\n\"usageMetadata\": {\"promptTokenCount\": 8,\"candidatesTokenCount\": 1}}\n,\r\n{\"usageMetadata\": {\"promptTokenCount\": 8,\"candidatesTokenCount\": 4}}\n]", 8, 4, true, false},
	"gemini stream that fails":             {true, "data: {\"usageMetadata\": {\"promptTokenCount\": 8}}\r\n\r\ndata: {\"error\": {\"code\": 503,\"message\": \"overloaded\",\"status\": \"UNAVAILABLE\"}}\r\n\r\n", 8, 0, true, true},
	"ollama stream":                        {true, "{\"message\":{\"content\":\"x\"},\"done\":false}\n{\"done\":true,\"prompt_eval_count\":26,\"eval_count\":298}\n", 26, 298, true, false},
	"ollama":                               {false, `{"message":{"content":"x"},"done":true,"prompt_eval_count":26,"eval_count":298}`, 26, 298, true, false},
	"a line that never ends":               {true, "data: " + strings.Repeat("x", 3*maxLine) + "\n\ndata: {\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":3}}\n", 8, 3, true, false},
	"an absurd number":                     {false, `{"usage":{"prompt_tokens":1e300,"completion_tokens":-5}}`, 0, 0, false, false},
	"a huge number":                        {false, `{"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":-5}}`, 0, 0, true, false},
	"text instead":                         {false, `{"usage":"much"}`, 0, 0, false, false},
	"nonsense":                             {true, "\x00\xff\"usage\":{\"usage\":{{{{\n\n\"usage\"", 0, 0, false, false},
	"nothing":                              {true, "", 0, 0, false, false},
}

// TestMeter: whatever the pieces, the tokens are those that the answer tells of.
func TestMeter(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for name, a := range answers {
		for try := range 40 {
			m := &meter{lines: a.lines}
			rest := a.text
			for rest != "" {
				n := len(rest)
				if try > 0 {
					n = min(n, 1+random.IntN(1+len(a.text)/(1+random.IntN(30))))
				}
				m.feed([]byte(rest[:n]))
				rest = rest[n:]
			}
			m.end()
			if in, out, told := m.usage.tokens(); in != a.in || out != a.out || told != a.told || m.failed != a.failed {
				t.Fatalf("%s: got %d in, %d out, told %v, failed %v", name, in, out, told, m.failed)
			}
			if cap(m.line) > 2*maxLine {
				t.Errorf("%s: %d bytes are kept", name, cap(m.line))
			}
		}
	}
}

func FuzzMeter(f *testing.F) {
	for _, a := range answers {
		f.Add([]byte(a.text), a.lines, 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, lines bool, cut int) {
		cut = min(max(cut, 0), len(text))
		m := &meter{lines: lines}
		m.feed(text[:cut])
		m.feed(text[cut:])
		m.end()
		if in, out, _ := m.usage.tokens(); in < 0 || out < 0 {
			t.Errorf("%d, %d", in, out)
		}
	})
}
