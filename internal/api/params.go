package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"creel/internal/problem"
)

// parameter is a field of a struct of parameters:
//
//	Tail int `query:"tail" default:"100" max:"10000" doc:"how many lines back to begin"`
//
// Its type says how it is written: a text, a number, a truth value, a duration
// ("1m30s"), a moment (RFC 3339, or a duration before now), or several texts
// (given again, or with commas).
type parameter struct {
	name     string
	field    int
	kind     reflect.Type
	standard string // the default, as it would be written; empty: none
	least    int64
	most     int64 // of a number its value, of a text its bytes; 0: mostText
	enum     []string
	required bool
	doc      string
}

// mostText is the longest that a parameter may be, unless it says otherwise.
const mostText = 1024

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

// parametersOf reads the fields of a struct. A field without a name is a mistake
// in this package.
func parametersOf(t reflect.Type) []parameter {
	var list []parameter
	for i := range t.NumField() {
		f := t.Field(i)
		p := parameter{
			name: f.Tag.Get("query"), field: i, kind: f.Type, standard: f.Tag.Get("default"), required: f.Tag.Get("required") != "",
			least: number(f.Tag.Get("min")), most: number(f.Tag.Get("max")), doc: f.Tag.Get("doc"),
		}
		if p.name == "" || p.doc == "" {
			panic(t.String() + "." + f.Name + " has no name or no doc")
		}
		if e := f.Tag.Get("enum"); e != "" {
			p.enum = strings.Split(e, ",")
		}
		list = append(list, p)
	}
	return list
}

func number(s string) int64 {
	n, err := strconv.ParseInt(cmp.Or(s, "0"), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// decodeQuery reads parameters. Those that are unknown, and those given twice
// that have one value, are refused: what is not understood is not passed over.
func decodeQuery(raw string, known []parameter, into reflect.Value) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return fmt.Errorf("the query cannot be read: %w", err)
	}
	for name := range values {
		if !slices.ContainsFunc(known, func(p parameter) bool { return p.name == name }) {
			return unknown("parameter", name, known)
		}
	}
	for _, p := range known {
		given, ok := values[p.name]
		switch {
		case !ok && p.required:
			return fmt.Errorf("the parameter %s is missing: %s", p.name, p.doc)
		case !ok && p.standard == "":
			continue
		case !ok:
			given = []string{p.standard}
		case len(given) > 1 && p.kind.Kind() != reflect.Slice:
			return fmt.Errorf("%s is given %d times", p.name, len(given))
		}
		if err := p.set(into.Field(p.field), given); err != nil {
			return err
		}
	}
	return nil
}

func unknown(what, name string, known []parameter) error {
	if len(known) == 0 {
		return fmt.Errorf("there is no %s %q; none is taken here", what, name)
	}
	var names []string
	for _, p := range known {
		names = append(names, p.name)
	}
	return fmt.Errorf("there is no %s %q; there are %s", what, name, strings.Join(names, ", "))
}

// set puts what was given into a field.
func (p parameter) set(field reflect.Value, given []string) error {
	s := given[0]
	for _, g := range given {
		if most := cmp.Or(p.mostText(), mostText); len(g) > most {
			return fmt.Errorf("%s has %d bytes, the most is %d", p.name, len(g), most)
		}
	}
	if len(p.enum) > 0 && s != "" && !slices.Contains(p.enum, s) {
		return fmt.Errorf("%s is one of %s, not %q", p.name, strings.Join(p.enum, ", "), s)
	}
	switch {
	case p.kind == durationType:
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return fmt.Errorf("%s is no duration such as \"1m30s\": %q", p.name, s)
		}
		field.SetInt(int64(d))
	case p.kind == timeType:
		at, err := moment(s)
		if err != nil {
			return fmt.Errorf("%s is neither a time such as \"2026-11-26T05:00:00Z\" nor a duration such as \"24h\": %q", p.name, s)
		}
		field.Set(reflect.ValueOf(at))
	case p.kind.Kind() == reflect.String:
		field.SetString(s)
	case p.kind.Kind() == reflect.Bool:
		on, err := strconv.ParseBool(s)
		if s != "" && err != nil {
			return fmt.Errorf("%s is neither true nor false: %q", p.name, s)
		}
		field.SetBool(on || s == "")
	case p.kind.Kind() == reflect.Uint64:
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return fmt.Errorf("%s is no number: %q", p.name, s)
		}
		field.SetUint(n)
	case p.kind.Kind() == reflect.Int:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < p.least || p.most > 0 && n > p.most {
			return fmt.Errorf("%s is no number from %d to %d: %q", p.name, p.least, p.most, s)
		}
		field.SetInt(n)
	case p.kind == reflect.TypeFor[[]string]():
		var all []string
		for _, g := range given {
			for one := range strings.SplitSeq(g, ",") {
				if one = strings.TrimSpace(one); one != "" {
					all = append(all, one)
				}
			}
		}
		field.Set(reflect.ValueOf(all))
	default:
		panic("no parameter can be a " + p.kind.String())
	}
	return nil
}

func (p parameter) mostText() int {
	if p.kind.Kind() == reflect.String {
		return int(p.most)
	}
	return 0
}

// moment reads a time, or a duration before now.
func moment(s string) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	return time.Parse(time.RFC3339, s)
}

// mostBody is the largest JSON body that is read.
const mostBody = 64 << 10

// hasBody tells whether a request has at least a byte of a body.
func hasBody(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return false
	}
	if r.ContentLength > 0 {
		return true
	}
	n, _ := io.ReadFull(r.Body, make([]byte, 1)) // it is not read further
	return n > 0
}

// decodeBody reads a JSON body. It answers and returns false if that is not what
// was sent.
func decodeBody(w http.ResponseWriter, r *http.Request, into any) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != mediaJSON {
		d := problem.Document{
			Status: http.StatusUnsupportedMediaType, Code: "not_json", Title: "The body is not JSON",
			Detail: fmt.Sprintf("the Content-Type is %q", r.Header.Get("Content-Type")), Hint: "Send JSON, with Content-Type: application/json.",
		}
		d.Write(w)
		return false
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	dec.DisallowUnknownFields()
	err = dec.Decode(into)
	if err == nil && dec.More() {
		err = errors.New("something follows the JSON document")
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		d := problem.Document{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Title: "The body is too large", Detail: fmt.Sprintf("the most is %d bytes", large.Limit)}
		d.Write(w)
	case err != nil:
		bad(w, "the body cannot be read: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	return err == nil
}
