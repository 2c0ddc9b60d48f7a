package fake

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// AllIsWell is the model's answer to whatever is not a sum.
const AllIsWell = "All is well."

// sum is the question that the model can answer otherwise, as in "What is 847293
// + 651824?". Each answer then belongs to one question and to no other: what was
// answered, and how often, can be counted.
var sum = regexp.MustCompile(`(\d+) ?\+ ?(\d+)`)

// internal is what OpenClaw tells the model beside what people say. It quotes them:
// what was asked earlier is not asked again.
var internal = regexp.MustCompile(`(?s)<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>.*?(<<<END_OPENCLAW_INTERNAL_CONTEXT>>>|$)`)

// answerTo gives the model's answer: to the last sum that was asked for since the
// model last spoke.
//
// The last message alone does not do: OpenClaw puts others behind what a person
// has said. A turn that was cut off is another one later on, with a note in front.
func answerTo(messages []llmMessage) string {
	answer := AllIsWell
	for _, m := range messages {
		switch m.Role {
		case "assistant":
			if len(m.ToolCalls) == 0 { // else it has not answered yet
				answer = AllIsWell
			}
		case "user":
			if found := sum.FindAllStringSubmatch(internal.ReplaceAllString(text(m.Content), ""), -1); found != nil {
				answer = add(found[len(found)-1])
			}
		}
	}
	return answer
}

func add(question []string) string {
	a, errA := strconv.Atoi(question[1])
	b, errB := strconv.Atoi(question[2])
	if errA != nil || errB != nil {
		return AllIsWell // too great
	}
	return strconv.Itoa(a + b)
}

// text is what is written in a message's content: a text, or parts of one.
func text(content json.RawMessage) string {
	var whole string
	if json.Unmarshal(content, &whole) == nil {
		return whole
	}
	var parts []struct{ Text string }
	if json.Unmarshal(content, &parts) != nil {
		return "" // a picture, or nothing
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text + "\n")
	}
	return b.String()
}

// inTwo cuts an answer where it can be held: before its last word, or in the midst
// of its only one.
func inTwo(answer string) (first, rest string) {
	at := strings.LastIndexByte(answer, ' ') + 1
	if at == 0 {
		at = len(answer) / 2
	}
	return answer[:at], answer[at:]
}
