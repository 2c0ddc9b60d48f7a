//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"creel/test/e2e/record"
	"creel/test/fake"
)

// How often each variant is played, in a data folder of its own each time. Once
// shows that it works; that it does every time is shown by
//
//	go test -tags e2e ./test/e2e -run Variant -timeout 3h -rounds 10
var rounds = flag.Int("rounds", 1, "how often each variant is played")

// variant plays one of the variants: the real OpenClaw with one part of the outside
// world, seen through a browser, and filmed. Variants share nothing but the
// installation, so two of them are played at a time.
func variant(t *testing.T, play func(*testing.T, *stage)) {
	t.Parallel()
	if *rounds == 1 {
		play(t, newStage(t))
		return
	}
	for n := range *rounds {
		if !t.Run(fmt.Sprintf("round-%d", n+1), func(t *testing.T) { play(t, newStage(t)) }) {
			return
		}
	}
}

// stage is where a variant is played: a creel, a model for its agent, a browser, and
// a film of what that shows.
type stage struct {
	*folder
	creel   *creel
	link    string
	entered string // the address at which the link was used
	browser *browser
	edge    *edge // how people on other machines come
	film    *record.Film
	llm     *fake.LLM
	shots   int
	// downloads is the time that creel may need for them before the first start.
	downloads time.Duration
}

// newStage makes one in which nothing runs but the browser. The film is kept
// whatever happens.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{folder: newFolder(t), llm: fake.NewLLM(t)}
	t.Cleanup(func() {
		if t.Failed() {
			s.artifact(t, "model-heard.jsonl", s.llm.Heard())
		}
	})
	s.edge = newEdge(t, s.folder)
	s.browser = s.browse(t,
		// A person's machine elsewhere knows who has signed the edge's certificate.
		chromedp.Flag("host-resolver-rules", s.edge.resolver()), chromedp.IgnoreCertErrors)
	film, err := record.New()
	if err != nil {
		t.Fatal(err)
	}
	s.film = film
	t.Cleanup(func() { s.keepFilm(t) })
	return s
}

// writeConfig writes OpenClaw's configuration.
func (s *stage) writeConfig(t *testing.T, config object) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(s.config()), 0o700); err != nil {
		t.Fatal(err)
	}
	s.configure(t, toJSON(t, config))
}

// up starts creel.
func (s *stage) up(t *testing.T, config object, environ ...string) {
	t.Helper()
	s.writeConfig(t, config)
	s.extra = append(s.extra, environ...)
	s.creel = s.folder.up(t)
	s.link = s.creel.linkWithin(t, bootLimit+s.downloads)
}

// say tells what comes next, to whoever reads the log and to whoever sees the film.
func (s *stage) say(t *testing.T, format string, args ...any) {
	t.Helper()
	text := fmt.Sprintf(format, args...)
	t.Log(text)
	s.film.Say(text)
}

// types runs one of creel's commands as a person would, in the film as well.
func (s *stage) types(t *testing.T, args ...string) string {
	t.Helper()
	line := "$ creel"
	for _, arg := range args {
		if len(arg) > 24 {
			arg = arg[:12] + "…"
		}
		line += " " + arg
	}
	s.say(t, "%s", line)
	return s.mustCommand(t, args...)
}

// shows films a page from now on.
func (s *stage) shows(t *testing.T, p *page) {
	t.Helper()
	if err := s.film.Show(p.ctx); err != nil {
		t.Fatal(err)
	}
}

// snap keeps a picture of a page, in the order of the play.
func (s *stage) snap(t *testing.T, p *page, name string) {
	t.Helper()
	s.shots++
	p.screenshot(t, fmt.Sprintf("%d-%s.png", s.shots, name))
}

// kill kills the gateway with SIGKILL.
func (s *stage) kill(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(s.status(t).PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// killed kills it and waits until the next instance is ready. It gives how long
// that took.
func (s *stage) killed(t *testing.T) time.Duration {
	t.Helper()
	before, at := s.status(t), time.Now()
	s.kill(t)
	s.until(t, bootLimit, "ready again", func(now status) bool { return now.OK && now.Generation == before.Generation+1 })
	took := time.Since(at)
	s.wantReady(t) // an instance that has answered is no fruitless one
	return took
}

// rests waits until the gateway has nothing to do. What a person sees comes before
// the last of its work: that it has told them is stored after it did.
func (s *stage) rests(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestLimit)
	defer cancel()
	o, err := s.dial(ctx, tokenOf(t, s.folder, s.link))
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	var suspended struct {
		Status       string
		SuspensionID string
		Blockers     json.RawMessage
	}
	eventually(t, bootLimit, "the gateway has nothing to do", func() (bool, string) {
		if err := o.call(ctx, "gateway.suspend.prepare", object{"requestId": "e2e"}, &suspended); err != nil {
			return false, err.Error()
		}
		return suspended.Status == "ready", string(suspended.Blockers)
	})
	var resumed struct{ Resumed bool }
	if err := o.call(ctx, "gateway.suspend.resume", object{"suspensionId": suspended.SuspensionID}, &resumed); err != nil || !resumed.Resumed {
		t.Fatalf("it does not go on: %+v, %v", resumed, err)
	}
}

// end ends the play in good order.
func (s *stage) end(t *testing.T) {
	t.Helper()
	s.keepFilm(t)
	s.browser.close(t)
	s.folder.end(t, s.creel)
}

// keepFilm ends the film, once.
func (s *stage) keepFilm(t *testing.T) {
	t.Helper()
	if s.film == nil {
		return
	}
	film := s.film
	s.film = nil
	// The test's own context ends before what it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), bootLimit)
	defer cancel()
	path, began := filepath.Join(s.artifacts, "video.mp4"), time.Now()
	length, err := film.Save(ctx, path)
	if err != nil {
		t.Errorf("the film is lost: %v", err)
		return
	}
	t.Logf("video: %s, %v long, made in %v", path, length.Round(time.Second), time.Since(began).Round(time.Millisecond))
}
