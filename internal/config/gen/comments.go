package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
	"unicode"
	"unicode/utf8"

	"creel/internal/config"
)

// comments maps "Ready.Timeout" to the comment at that field.
type comments map[string]string

// readComments takes the comments of the struct fields from a Go file. A field
// with a yaml tag and no comment is an error: it would be a key without a
// meaning.
func readComments(path string) (comments, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("cannot read the comments: %w", err)
	}
	c := comments{}
	var missing []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		body, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, field := range body.Fields.List {
			for _, name := range field.Names {
				at := spec.Name.Name + "." + name.Name
				if c[at] = meaning(name.Name, field.Doc.Text()); c[at] == "" {
					missing = append(missing, at)
				}
			}
		}
		return true
	})
	if len(missing) > 0 {
		return nil, fmt.Errorf("cannot document these fields, which have no comment: %s", strings.Join(missing, ", "))
	}
	return c, nil
}

// cover fails if a key has no meaning: its struct is in a file that is not read.
func (c comments) cover(keys []config.Key) error {
	for _, k := range keys {
		if c[k.Field] == "" {
			return fmt.Errorf("cannot document %s: no file that is read has a comment at %s", k.Path, k.Field)
		}
	}
	return nil
}

// meaning makes "The TCP address." of "Listen is the TCP address.": a reader of
// the documentation sees the key's name already.
func meaning(name, comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	text = strings.TrimPrefix(text, name+" ")
	for _, verb := range []string{"is ", "are "} {
		text = strings.TrimPrefix(text, verb)
	}
	if strings.HasPrefix(text, "creel") {
		return text // a name that is written small everywhere
	}
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
