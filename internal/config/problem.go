package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Origin is the sort of place that a value comes from.
type Origin string

// The origins, weakest first.
const (
	OriginDefault Origin = "default"
	OriginPreset  Origin = "preset"
	OriginFile    Origin = "file"
	OriginEnv     Origin = "env"
	OriginFlag    Origin = "flag"
)

// Source is the place that a value comes from.
type Source struct {
	Origin Origin `json:"origin"`
	File   string `json:"file,omitempty"`   // of OriginFile: the path as it was given
	Line   int    `json:"line,omitempty"`   // of OriginFile: from 1
	Column int    `json:"column,omitempty"` // of OriginFile: from 1, in characters
	Name   string `json:"name,omitempty"`   // of the preset, of the environment variable, or of the flag
}

// String says it as "creel config show" does: "default", "preset openclaw",
// "creel.yaml:3", "env CREEL_LISTEN", "flag --listen".
func (s Source) String() string {
	switch s.Origin {
	case OriginFile:
		return fmt.Sprintf("%s:%d", s.File, s.Line)
	case OriginPreset, OriginEnv, OriginFlag:
		return string(s.Origin) + " " + s.Name
	}
	return string(OriginDefault)
}

// chosen tells whether a person chose the value.
func (s Source) chosen() bool {
	return s.Origin == OriginFile || s.Origin == OriginEnv || s.Origin == OriginFlag
}

// where is what a problem's text begins with.
func (s Source) where() string {
	switch s.Origin {
	case OriginFile:
		return fmt.Sprintf("%s:%d:%d: ", s.File, s.Line, s.Column)
	case OriginEnv:
		return "environment variable " + s.Name + ": "
	case OriginFlag:
		return "flag " + s.Name + ": "
	}
	return ""
}

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Source         // of the offending value; where a value is missing, of the section that it is missing from
	Key     string `json:"key,omitempty"` // dotted, such as "gateway.ready.status[1]"; empty: the file as a whole
	Message string `json:"message"`       // what is wrong and, where that is known, what to write instead
	Err     error  `json:"-"`             // the cause, such as fs.ErrNotExist; nil: none
}

// Error gives "file:line:column: key: message".
func (p *Problem) Error() string {
	key := p.Key
	if key != "" {
		key += ": "
	}
	return p.where() + key + p.Message
}

func (p *Problem) Unwrap() error { return p.Err }

// maxProblems bounds how many problems are kept: a file that is not meant for
// creel at all has one in each line, and nobody reads more than a screen.
const maxProblems = 50

// Problems is the error of Load and of Validate: all that is wrong, in the order
// of the file, then environment variables and flags. It holds at least one.
type Problems struct {
	List []*Problem
	More int // how many were left out, because there were too many
}

// Error gives one problem in one line, or a heading and a line for each.
func (p *Problems) Error() string {
	if len(p.List) == 1 && p.More == 0 {
		return "cannot use the configuration: " + p.List[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cannot use the configuration: %d problems:", len(p.List)+p.More)
	for _, problem := range p.List {
		b.WriteString("\n  " + problem.Error())
	}
	if p.More > 0 {
		fmt.Fprintf(&b, "\n  … and %d more", p.More)
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As look into each problem.
func (p *Problems) Unwrap() []error {
	errs := make([]error, len(p.List))
	for i, problem := range p.List {
		errs[i] = problem
	}
	return errs
}

// problems collects what is wrong, and what has to be left alone because of it.
type problems struct {
	list []*Problem
	more int
	// failed holds the keys (and sections) whose value could not be read. What
	// stands in the Config instead is a default, so that a second problem with
	// it would only mislead.
	failed map[string]bool
}

func (p *problems) add(s Source, key, format string, args ...any) {
	p.addProblem(&Problem{Source: s, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (p *problems) addProblem(problem *Problem) {
	if problem.Key != "" {
		p.fail(problem.Key)
	}
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, problem)
}

func (p *problems) fail(key string) {
	if p.failed == nil {
		p.failed = map[string]bool{}
	}
	p.failed[key] = true
}

// failAll is for a file of which nothing could be read.
func (p *problems) failAll() {
	for _, k := range tree().children {
		p.fail(k.Path)
	}
}

// count is how many problems there are so far.
func (p *problems) count() int { return len(p.list) + p.more }

// isFailed tells whether key, or a section that it is in, could not be read.
func (p *problems) isFailed(key string) bool {
	for {
		if p.failed[key] {
			return true
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			return false
		}
		key = key[:i]
	}
}

// err is nil if nothing is wrong.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	rank := map[Origin]int{OriginDefault: 0, OriginPreset: 0, OriginFile: 1, OriginEnv: 2, OriginFlag: 3}
	slices.SortStableFunc(p.list, func(a, b *Problem) int {
		return cmp.Or(
			cmp.Compare(rank[a.Origin], rank[b.Origin]),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Name, b.Name),
		)
	})
	return &Problems{List: p.list, More: p.more}
}
