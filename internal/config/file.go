package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds the file. A full creel.yaml has some 5 KiB; what is larger
// than this is another file given by mistake.
const maxFileBytes = 1 << 20

// document is the file as read.
type document struct {
	path string
	data []byte
}

// at is a place in the document.
func (d *document) at(line, column int) Source {
	return Source{Origin: OriginFile, File: d.path, Line: max(line, 1), Column: max(column, 1)}
}

func (d *document) node(n *yaml.Node) Source { return d.at(n.Line, n.Column) }

// readDocument reads the file. Anything but a regular file is refused: a pipe
// may never end, and could not be read again on a reload.
func readDocument(path string) (*document, *Problem) {
	d := &document{path: path}
	refuse := func(err error, format string, args ...any) (*document, *Problem) {
		return nil, &Problem{Source: d.at(1, 1), Message: fmt.Sprintf(format, args...), Err: err}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return refuse(err, "there is no such file; check the path, or leave it out to run without a file")
	case err != nil:
		return refuse(err, "cannot read the file: %v", reason(err))
	case info.IsDir():
		return refuse(nil, "is a directory; name the file in it")
	case !info.Mode().IsRegular():
		return refuse(nil, "is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return refuse(err, "cannot read the file: %v; it has to be readable by the user that creel runs as", reason(err))
	}
	d.data, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return refuse(err, "cannot read the file: %v", reason(err))
	}
	return d, nil
}

// reason takes the path out of an error, which the problem names already.
func reason(err error) error {
	if pathErr, ok := errors.AsType[*os.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

// parse turns the document into the node of its root. It says first, in plain
// words, what a YAML parser would be vague about.
func (d *document) parse() (*yaml.Node, *Problem) {
	if p := d.checkBytes(); p != nil {
		return nil, p
	}
	decoder := yaml.NewDecoder(bytes.NewReader(d.data))
	var first, second yaml.Node
	switch err := decoder.Decode(&first); {
	case errors.Is(err, io.EOF), err == nil && isEmpty(&first):
		return nil, &Problem{Source: d.at(1, 1), Message: "holds no settings; write at least one key, or leave the file out"}
	case err != nil:
		return nil, d.syntaxProblem(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &Problem{Source: d.node(&second), Message: `a second document begins here; creel reads one per file: remove the "---"`}
	case !errors.Is(err, io.EOF):
		return nil, d.syntaxProblem(err)
	}
	return first.Content[0], nil
}

// isEmpty tells a document without any value, such as "---" alone.
func isEmpty(doc *yaml.Node) bool {
	return len(doc.Content) == 0 || isNull(doc.Content[0])
}

// checkBytes refuses what is not text in UTF-8.
func (d *document) checkBytes() *Problem {
	if len(d.data) > maxFileBytes {
		return &Problem{Source: d.at(1, 1), Message: "is larger than 1 MiB; is it the right file?"}
	}
	if bytes.HasPrefix(d.data, []byte{0xFE, 0xFF}) || bytes.HasPrefix(d.data, []byte{0xFF, 0xFE}) {
		return &Problem{Source: d.at(1, 1), Message: "is encoded in UTF-16; save it as UTF-8"}
	}
	// A byte order mark is harmless, and some editors write one.
	d.data = bytes.TrimPrefix(d.data, []byte("\uFEFF"))
	line, column := 1, 1
	for i := 0; i < len(d.data); {
		r, size := utf8.DecodeRune(d.data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &Problem{Source: d.at(line, column), Message: fmt.Sprintf("byte 0x%02x is not UTF-8; save the file as UTF-8", d.data[i])}
		case isControl(r):
			return &Problem{Source: d.at(line, column), Message: fmt.Sprintf(`control character U+%04X; in a quoted text write "\x%02x"`, r, r)}
		}
		i += size
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return nil
}

// isControl tells the control characters that YAML does not allow (YAML 1.2.2
// section 5.1) and that fit into "\xNN".
func isControl(r rune) bool {
	return (r < 0x20 && r != '\t' && r != '\n' && r != '\r') || (r >= 0x7F && r < 0xA0 && r != 0x85)
}

// syntaxProblem gives a parser's error a place and words.
//
// The parser names the line at which the construct in question began, or none,
// and never a column. So the place is searched for: the line after the longest
// run of lines from the top that parses.
func (d *document) syntaxProblem(err error) *Problem {
	lines := strings.SplitAfter(string(d.data), "\n")
	line := 1
	if _, scanErr := fmt.Sscanf(err.Error(), "yaml: line %d:", &line); scanErr != nil {
		line = 1 // the parser leaves it out if it is the first
	}
	if good, ok := longestGood(lines); ok {
		line = good + 1
	}
	line = min(line, len(lines))
	text := lines[line-1]
	indent := len(text) - len(strings.TrimLeft(text, " "))
	message := syntaxMessage(err)
	if strings.HasPrefix(text[indent:], "\t") {
		message = "a tab begins the line; YAML wants spaces for indentation"
	}
	return &Problem{Source: d.at(line, indent+1), Message: message}
}

// searchBytes bounds the search for the place of a syntax error, which parses
// the file once for each line that it goes back: this many bytes in all, which
// take half a second at the worst.
const searchBytes = 1 << 20

// longestGood is the number of lines that parse. It goes from the end, because a
// run of lines that ends within a quoted text or a list does not parse though
// nothing is wrong with it yet. False: the search was given up.
func longestGood(lines []string) (int, bool) {
	budget := searchBytes
	for n := len(lines) - 1; n > 0; n-- {
		text := strings.Join(lines[:n], "")
		if budget -= len(text); budget < 0 {
			return 0, false
		}
		decoder := yaml.NewDecoder(strings.NewReader(text))
		for {
			var node yaml.Node
			err := decoder.Decode(&node)
			if errors.Is(err, io.EOF) {
				return n, true
			}
			if err != nil {
				break
			}
		}
	}
	return 0, true
}

// syntaxMessage puts the parser's most frequent complaints into words. It never
// quotes the file: a secret that begins with "*" or "!" would be shown.
func syntaxMessage(err error) string {
	text := err.Error()
	for _, m := range []struct{ has, say string }{
		{"mapping values are not allowed", `": " is not allowed here; check the indentation, or put the value in quotes`},
		{"cannot start any token", "this character cannot begin a value; put the value in quotes"},
		{"did not find expected key", "a key was expected here; check the indentation and the quotes"},
		{"could not find expected ':'", `a key without ":"; check the indentation`},
		{"did not find expected '-' indicator", `an item was expected here; check the indentation`},
		{"did not find expected ',' or ']'", `a list that "[" began is not closed; "," or "]" was expected`},
		{"did not find expected ',' or '}'", `a mapping that "{" began is not closed; "," or "}" was expected`},
		{"did not find expected node content", "a value was expected here"},
		{"found unexpected end of stream", "a quote that begins here is never closed"},
		{"unknown anchor", `"*" refers to an anchor ("&") that the file does not have; put a value that begins with "*" in quotes`},
		{"cannot decode", "a tag does not fit its value; remove the tag"},
	} {
		if strings.Contains(text, m.has) {
			return m.say
		}
	}
	_, detail, found := strings.Cut(strings.TrimPrefix(text, "yaml: "), ": ")
	if !found {
		detail = strings.TrimPrefix(text, "yaml: ")
	}
	return "is not valid YAML: " + detail
}
