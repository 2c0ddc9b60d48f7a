package ui

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"creel/internal/auth"
)

// view is a page: what it shows, and which parts of it are kept up to date.
type view struct {
	name    string // of the template, pages/NAME.html, and of its stream
	pattern string // path
	section string // the entry of the menu that it belongs to
	title   string
	needs   auth.Scope
	regions []string // templates, each in an element with data-live="NAME"
	still   bool     // it is not kept up to date at all
	data    func(u *UI, r *http.Request) (any, error)
}

// views lists all pages.
func (u *UI) views() []view {
	const p = Prefix
	list := []view{
		{name: "overview", pattern: p + "{$}", section: "overview", title: "Overview", needs: auth.Read, regions: []string{"now", "attention", "usage", "safety"}, data: overviewData},
		{name: "timeline", pattern: p + "timeline", section: "timeline", title: "Timeline", needs: auth.Read, regions: []string{"days"}, data: timelineData},
		{name: "devices", pattern: p + "devices", section: "devices", title: "Devices", needs: auth.Read, regions: []string{"pending", "known"}, data: devicesData},
		{name: "snapshots", pattern: p + "snapshots", section: "snapshots", title: "Snapshots", needs: auth.Read, regions: []string{"under-way", "safe", "month", "list"}, data: snapshotsData},
		{name: "snapshot", pattern: p + "snapshots/{id}", section: "snapshots", title: "Snapshot", needs: auth.Read, still: true, data: snapshotData},
		{name: "files", pattern: p + "snapshots/{id}/files", section: "snapshots", title: "Files of a snapshot", needs: auth.Read, still: true, data: filesData},
		{name: "diff", pattern: p + "snapshots/diff", section: "snapshots", title: "What has changed", needs: auth.Read, still: true, data: diffData},
		{name: "job", pattern: p + "jobs/{id}", section: "snapshots", title: "Under way", needs: auth.Read, regions: []string{"progress"}, data: jobData},
		{name: "logs", pattern: p + "logs", section: "logs", title: "Logs", needs: auth.Read, data: logsData},
		{name: "settings", pattern: p + "settings", section: "settings", title: "Settings", needs: auth.Read, still: true, data: settingsData},
	}
	for _, c := range confirmations {
		list = append(list, view{name: "confirm", pattern: c.pattern, section: c.section, title: c.title, needs: c.needs, still: true, data: c.data})
	}
	return list
}

// pageError is why a page cannot be shown.
type pageError struct {
	status int
	title  string
	text   string
	hint   string
}

func (e *pageError) Error() string { return e.text }

// frame is what all pages have, and what templates are given.
type frame struct {
	CSS      template.CSS
	Script   string
	Nonce    string // lets the script run
	Icon     string
	Title    string
	Section  string
	Gateway  string
	Pill     pill
	Who      auth.Principal
	Pending  int // devices that ask to be let in
	Trouble  int // conditions that hold
	Flash    *flash
	Live     string // the stream that keeps the page up to date; empty: none does
	Refresh  int    // seconds after which a page without script is loaded again; 0: never
	Now      time.Time
	Version  string
	Sections []section
	Open     string
	D        any // the page's own
}

// section is an entry of the menu.
type section struct{ Name, Path, Title string }

var sections = []section{
	{"overview", Prefix, "Overview"},
	{"timeline", Prefix + "timeline", "Timeline"},
	{"devices", Prefix + "devices", "Devices"},
	{"snapshots", Prefix + "snapshots", "Snapshots"},
	{"logs", Prefix + "logs", "Logs"},
	{"settings", Prefix + "settings", "Settings"},
}

// May tells a template whether to show what needs a scope.
func (f frame) May(scope string) bool { return f.Who.May(auth.Scope(scope)) }

// SignedIn tells whether there is a session to end.
func (f frame) SignedIn() bool { return f.Who.Kind == auth.KindSession }

// Zone names the time zone of the times on the page.
func (f frame) Zone() string { name, _ := f.Now.Zone(); return name }

// refreshes is implemented by data of pages that move on by themselves.
type refreshes interface{ refreshAfter() int }

// titled is implemented by data that has a better title for its page.
type titled interface{ pageTitle() string }

// patience for what may take its time: on a page that is opened, on one that is
// kept up to date, and where there is no page without it.
const (
	pagePatience = 150 * time.Millisecond
	livePatience = 300 * time.Millisecond
	fullPatience = 5 * time.Second
)

// patienceKey is the key of the context under which slow things are asked.
type patienceKey struct{}

// withPatience has slow things be waited for until ctx, or for so long.
func withPatience(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// patient is the context in which something slow is waited for.
func patient(ctx context.Context) (context.Context, context.CancelFunc) {
	d, ok := ctx.Value(patienceKey{}).(time.Duration)
	if !ok {
		d = pagePatience
	}
	return context.WithTimeout(ctx, d)
}

// frameOf makes what all pages have.
func (u *UI) frameOf(r *http.Request, v view, data any) frame {
	st := u.opts.Supervisor.Status()
	f := frame{
		CSS: loaded().css, Script: assetPath("creel.js"), Nonce: rand.Text(), Icon: assetPath("icon.svg"), Title: v.title, Section: v.section,
		Gateway: st.Name, Pill: pillOf(st), Who: auth.From(r.Context()), Now: time.Now(), Version: u.opts.Version, Sections: sections, Open: OpenPath, D: data,
	}
	if t, ok := data.(titled); ok {
		f.Title = t.pageTitle()
	}
	if t, ok := data.(refreshes); ok {
		f.Refresh = t.refreshAfter()
	}
	if u.opts.Health != nil {
		f.Trouble = troubles(u.opts.Health())
	}
	list, _ := u.deviceList(r.Context()) // what is wrong with it is the page's own to say
	f.Pending = len(pendingOf(list))
	return f
}

// show is the handler of a page.
func (u *UI) show(v view) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := v // a page that fails is shown by another view
		data, err := v.data(u, r)
		status := http.StatusOK
		if err != nil {
			v, data, status = errorView(v, err)
		}
		f := u.frameOf(r, v, data)
		f.Flash = u.flashes.take(r)
		if !v.still {
			q := r.URL.Query()
			q.Del("flash")
			if id := r.PathValue("id"); id != "" {
				q.Set("id", id)
			}
			f.Live = Prefix + "ui/live/" + v.name
			if len(q) > 0 {
				f.Live += "?" + q.Encode()
			}
		}
		u.write(w, r, status, v.name, f)
	})
}

// problemPage is what the page "problem" shows.
type problemPage struct{ Title, Text, Hint string }

func errorView(v view, err error) (view, any, int) {
	p := &pageError{status: http.StatusBadGateway, title: "That cannot be shown now", text: err.Error(), hint: "Try again in a moment."}
	errors.As(err, &p)
	return view{name: "problem", section: v.section, title: p.title, still: true}, problemPage{p.title, p.text, p.hint}, p.status
}

// param is a part of the path, or, in a stream, a parameter of the same name.
func param(r *http.Request, name string) string {
	if v := r.PathValue(name); v != "" {
		return v
	}
	return r.URL.Query().Get(name)
}

// write answers with a page.
func (u *UI) write(w http.ResponseWriter, r *http.Request, status int, name string, f frame) {
	var b bytes.Buffer
	if err := pageTemplates(name).ExecuteTemplate(&b, "layout", f); err != nil {
		u.log.Error("a page cannot be made", "page", name, "error", err)
		http.Error(w, "this page cannot be made; creel's log says why", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	secure(h)
	// Files of this host are no script for being there: the gateway shares the host,
	// and may serve what agents have made.
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; connect-src 'self'; img-src 'self'; "+
		"script-src 'nonce-"+f.Nonce+"'; style-src 'sha256-"+loaded().cssSum+"'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	body := b.Bytes()
	// What holds a secret is not compressed: its length would tell of it.
	if takesGzip(r) && (f.Flash == nil || f.Flash.Secret == "" && f.Flash.Path == "") {
		h.Set("Content-Encoding", "gzip")
		body = compressFast(body)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// secure sets what all of creel's own pages have.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding, Cookie")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

// action is something that a form asks for.
type action struct {
	pattern string
	needs   auth.Scope
	person  bool   // an API token does not do
	back    string // where it leads if it fails
	do      func(u *UI, r *http.Request) (to string, m flash, err error)
}

// maxForm is the most that a form may hold, in bytes.
const maxForm = 64 << 10

// act is the handler of an action: it answers with 303 and a message.
func (u *UI) act(a action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		to, m := a.back, flash{}
		err := r.ParseForm()
		if err == nil {
			var next string
			if next, m, err = a.do(u, r); next != "" {
				to = next
			}
		}
		if err != nil {
			m = flash{Tone: "bad", Text: sentence(err.Error()), Hint: hintOf(err)}
		}
		if m.Text != "" {
			to += "?flash=" + url.QueryEscape(u.flashes.put(r, m))
		}
		secure(w.Header())
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
}

// pageTemplates are the templates of one page, made when it is first shown.
var pageTemplates = func() func(name string) *template.Template {
	var mu sync.Mutex
	made := map[string]*template.Template{}
	return func(name string) *template.Template {
		mu.Lock()
		defer mu.Unlock()
		t := made[name]
		if t == nil {
			t = template.Must(template.New(name).Funcs(functions).ParseFS(files, "pages/layout.html", "pages/parts.html", "pages/"+name+".html"))
			made[name] = t
		}
		return t
	}
}()

// functions are those of all templates.
var functions = template.FuncMap{
	"ago": func(f frame, t time.Time) string { return ago(f.Now.Sub(t)) },
	"span": func(f frame, t time.Time) string {
		return span(f.Now.Sub(t))
	},
	"dayid": func(t time.Time) string { return "d" + t.Local().Format(dayForm) },
	"month": func(t time.Time) string { return t.Format("January 2006") },
	"clock": func(t time.Time) string { return t.Local().Format("15:04:05") },
	"day":   func(t time.Time) string { return t.Local().Format("Monday, 2 January 2006") },
	"when":  func(t time.Time) string { return t.Local().Format("2 Jan 2006, 15:04:05") },
	"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"bytes": size,
	"count": count,
	"files": fileCount,
	"plural": func(n int, one, many string) string {
		if n == 1 {
			return one
		}
		return many
	},
	"of": func(f frame, d any) frame { f.D = d; return f },
	"duration": func(d time.Duration) string {
		if d < time.Second {
			return fmt.Sprintf("%d ms", d.Milliseconds())
		}
		return span(d)
	},
	"capital": capital,
	"prose":   prose,
	"toneof":  toneOf,
	"browser": browserOf,
	"date":    func(t time.Time) string { return t.Local().Format("2 Jan 2006") },
	"spoken":  spoken,
	"share": func(n, of int64) string {
		if of <= 0 {
			return "0"
		}
		return fmt.Sprintf("%.1f", 100*float64(n)/float64(of))
	},
}

// DocumentTitle is the title of the window.
func (f frame) DocumentTitle() string {
	t := f.Title + " · " + f.Gateway + " · creel"
	if f.Pending > 0 {
		t = fmt.Sprintf("(%d) %s", f.Pending, t)
	}
	return t
}
