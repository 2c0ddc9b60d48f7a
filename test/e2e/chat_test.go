//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"creel/test/fake"
)

type object = map[string]any

// agentOn is an OpenClaw configuration whose agent thinks with a local model.
func agentOn(llm *fake.LLM) object {
	return object{
		"models": object{"mode": "merge", "providers": object{"fake": object{
			"baseUrl": llm.URL(), "apiKey": "sk-fake", "api": "openai-completions",
			"models": []object{{"id": "fake-1", "name": "Fake", "reasoning": false, "input": []string{"text"}, "contextWindow": 128000, "maxTokens": 4096}},
		}}},
		"agents": object{"defaults": object{"model": object{"primary": "fake/fake-1"}, "skipBootstrap": true}},
	}
}

// chatReady: the chat of the Control UI takes messages, and its page is connected. A
// page that is not shows what it has shown before.
const chatReady = `!!document.querySelector("textarea:not([disabled])") && /^Connected$/m.test(document.body.innerText) &&
	!/reconnecting|restoring|waiting for approval/i.test(document.body.innerText)`

// runGoesOn: the agent is at work on an answer.
const runGoesOn = `document.querySelector('[aria-label="Stop generating"]')`

// answered is the condition that an answer is there and its run over. What is asked
// while it is not is for that run to take up ("Steer"), and a run in its last moment
// does not.
func answered(text string) string { return shown(text) + " && !" + runGoesOn }

// missedEnd is how long the page may keep a message while no run goes on.
const missedEnd = 15 * time.Second

// quote is a text in JavaScript, as long as it has no strange characters.
func quote(text string) string { return strconv.Quote(text) }

// shown is the condition that a text is to be seen.
func shown(text string) string { return `document.body.innerText.includes(` + quote(text) + `)` }

// write writes into the field of a chat and sends it.
func (p *page) write(t *testing.T, field, text string) {
	t.Helper()
	p.fill(t, field, text)
	if _, err := within(p, momentLimit, chromedp.KeyEvent(kb.Enter)); err != nil {
		t.Fatalf("cannot send %q: %v", text, err)
	}
}

// ask asks the agent something in the Control UI. A page that was opened a moment ago
// may lose what is written while it loads the conversation: then it is written again.
func (p *page) ask(t *testing.T, text string) {
	t.Helper()
	const lost = `[...document.querySelectorAll("textarea")].every((f) => f.value === "") && !`
	for range 5 {
		p.write(t, "textarea", text)
		sent, tries := false, 0
		eventually(t, momentLimit, "the question is sent", func() (bool, string) {
			tries++
			var err, lostErr error
			var gone bool
			sent, err = within(p, momentLimit, chromedp.Evaluate[bool](shown(text)))
			gone, lostErr = within(p, momentLimit, chromedp.Evaluate[bool](lost+shown(text)))
			// What was sent is shown at once, before anybody has got it.
			return sent || gone && tries > 10, fmt.Sprint(err, lostErr)
		})
		if !sent {
			t.Logf("what was written is lost: %q", text)
			continue
		}
		if p.sends(t, text) {
			return
		}
		t.Logf("the page keeps %q though no run goes on: asked again", text)
		p.reload(t)
		p.until(t, "the page is there again", chatReady)
	}
	t.Fatalf("the page does not take %q", text)
}

// keeps is the button beside a message that the page keeps, and has not sent.
const keeps = `document.querySelector('[aria-label="Remove queued message"]')`

// sends waits until the page has sent what it was given. It keeps what is asked in the
// last moment of a run, to put it into that run or behind it; now and then it has
// missed the end of the run, and keeps the message for ever. That one is removed, as
// a person would do, and the answer is no.
func (p *page) sends(t *testing.T, text string) (yes bool) {
	t.Helper()
	const idle = "!!(" + keeps + " && !" + runGoesOn + ")"
	var idleSince time.Time
	eventually(t, bootLimit, "the page sends "+text, func() (bool, string) {
		kept, err := within(p, momentLimit, chromedp.Evaluate[bool]("!!"+keeps))
		if yes = err == nil && !kept; yes {
			return true, ""
		}
		isIdle, idleErr := within(p, momentLimit, chromedp.Evaluate[bool](idle))
		switch {
		case !isIdle:
			idleSince = time.Time{}
		case idleSince.IsZero():
			idleSince = time.Now()
		case time.Since(idleSince) > missedEnd:
			p.screenshot(t, "kept.png")
			p.eval(t, keeps+`?.click() ?? ""`)
			return true, ""
		}
		return false, fmt.Sprint(err, idleErr)
	})
	return yes
}

// fill writes into a field. The page may be at work on the field, so it looks whether
// what was written is there.
func (p *page) fill(t *testing.T, field, text string) {
	t.Helper()
	focus := chromedp.Evaluate[bool](`(() => {
		const field = [...document.querySelectorAll(` + quote(field) + `)].find((f) => f.checkVisibility() && !f.disabled);
		if (!field || field.value === ` + quote(text) + `) return !!field;
		field.focus();
		field.select();
		return false;
	})()`)
	insert := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, input.InsertText, input.InsertTextParams{Text: text})
		return err
	})
	eventually(t, momentLimit, "the field has the text", func() (bool, string) {
		written, err := within(p, momentLimit, focus)
		if err == nil && !written {
			_, err = within(p, momentLimit, insert)
		}
		return written && err == nil, fmt.Sprint(err)
	})
}

// reload loads the page anew.
func (p *page) reload(t *testing.T) {
	t.Helper()
	if _, err := within(p, bootLimit, chromedp.Reload()); err != nil {
		t.Fatalf("cannot load the page anew: %v", err)
	}
}

// press presses the first button or link to be seen whose text begins like this.
func (p *page) press(t *testing.T, text string) {
	t.Helper()
	pressed := `(() => {
		const all = [...document.querySelectorAll("button, a")];
		const one = all.find((e) => e.checkVisibility() && !e.disabled && e.innerText.trim().startsWith(` + quote(text) + `));
		one?.click();
		return !!one;
	})()`
	eventually(t, momentLimit, "there is a button "+text, func() (bool, string) {
		yes, err := within(p, momentLimit, chromedp.Evaluate[bool](pressed))
		if yes && err == nil {
			return true, ""
		}
		text, textErr := within(p, momentLimit, chromedp.Evaluate[string](`document.body?.innerText ?? ""`))
		return false, fmt.Sprint(err, textErr, "\n", text)
	})
}

// visit presses a link, and waits for the page that it leads to: what is pressed
// next is not on the page that is being left.
func (p *page) visit(t *testing.T, text string) {
	t.Helper()
	p.eval(t, `window.left = "yes"`)
	p.press(t, text)
	p.until(t, "the page "+text+" is there", `window.left === undefined && document.readyState === "complete"`)
}
