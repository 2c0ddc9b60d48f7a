package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/invopop/jsonschema"

	"creel/internal/auth"
	"creel/internal/event"
	"creel/internal/gateway"
	"creel/internal/openclaw"
	"creel/internal/problem"
	"creel/internal/snapshot/store"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// TestDocument: openapi.json is what the table and the types say.
func TestDocument(t *testing.T) {
	want := describe(t, (&API{opts: Options{OpenClaw: &OpenClaw{}}}).table())
	if *update {
		if err := os.WriteFile("openapi.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, document) {
		t.Error("openapi.json is not what the table says: write it anew with `go generate ./internal/api`")
	}
}

// TestDocumentIsValid: it is an OpenAPI 3.1 document, whose references and path
// parameters are complete.
func TestDocumentIsValid(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Paths.Len() < 40 {
		t.Errorf("OpenAPI %s with %d paths", doc.OpenAPI, doc.Paths.Len())
	}
}

// object is a JSON object with its members in the order of their names.
type object = map[string]any

// describe makes the document.
func describe(t *testing.T, routes []route) []byte {
	t.Helper()
	schemas := newSchemas(t)
	paths := object{}
	for _, r := range routes {
		item, ok := paths[r.path].(object)
		if !ok {
			item = object{}
			paths[r.path] = item
		}
		item[strings.ToLower(r.method)] = operation(schemas, r)
	}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "creel", "version": "v1", "license": object{"name": "see the repository"},
			"description": "Who keeps an app alive, what has happened to it, and how to steer it. See docs/api.md. Operations with x-creel-socket-only are offered on the control socket alone; those under moltworker exist with the openclaw preset only. Answers and their documents may get more members.",
		},
		"servers": []any{object{"url": "/"}},
		"paths":   paths,
		"components": object{
			"securitySchemes": object{
				"token":   object{"type": "http", "scheme": "bearer", "description": "an API token (POST /_creel/api/v1/tokens)"},
				"session": object{"type": "apiKey", "in": "cookie", "name": "creel_session", "description": "what signing in sets; its exact name is creel's business"},
			},
			"schemas": schemas.all(),
		},
	}
	b, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return append(bytes.ReplaceAll(b, []byte("#/$defs/"), []byte("#/components/schemas/")), '\n')
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func operation(schemas *schemas, r route) object {
	op := object{"operationId": r.id, "summary": r.summary, "tags": []any{tagOf(r.path)}}
	if r.needs == auth.Public {
		op["security"] = []any{}
	} else {
		op["security"] = []any{object{"token": []any{}}, object{"session": []any{}}}
		op["x-creel-scope"] = r.needs
		op["description"] = "Needs the scope " + string(r.needs) + "."
	}
	if r.socketOnly {
		op["x-creel-socket-only"] = true
	}
	var parameters []any
	for _, m := range pathParameter.FindAllStringSubmatch(r.path, -1) {
		parameters = append(parameters, object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}})
	}
	if r.query != nil {
		for _, p := range parametersOf(r.query) {
			parameters = append(parameters, parameterObject(p))
		}
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if r.body != nil {
		op["requestBody"] = object{"required": true, "content": object{mediaJSON: object{"schema": schemas.of(r.body)}}}
	}
	responses := object{"default": object{"description": "it was not done, and why (RFC 9457)", "content": object{problem.ContentType: object{"schema": schemas.of(reflect.TypeFor[problem.Document]())}}}}
	for _, a := range r.answers {
		key := strconv.Itoa(a.status)
		response, ok := responses[key].(object)
		if !ok {
			response = object{"description": http.StatusText(a.status), "content": object{}}
			responses[key] = response
		}
		content := response["content"].(object)
		if first, ok := content[a.media].(object); ok { // the one or the other
			content[a.media] = object{"schema": object{"anyOf": []any{first["schema"], contentObject(schemas, a)["schema"]}}}
			continue
		}
		content[a.media] = contentObject(schemas, a)
	}
	op["responses"] = responses
	return op
}

func contentObject(schemas *schemas, a answer) object {
	switch {
	case a.stream:
		return object{"schema": object{"type": "string", "description": "a stream of documents, each as x-creel-item says"}, "x-creel-item": schemas.of(a.of)}
	case a.of == nil:
		return object{"schema": object{"type": "string"}}
	}
	return object{"schema": schemas.of(a.of)}
}

func tagOf(path string) string {
	rest, ok := strings.CutPrefix(path, v1Prefix)
	switch {
	case ok:
		name, _, _ := strings.Cut(rest, "/")
		return name
	case strings.HasPrefix(path, Prefix):
		return "signs of life"
	}
	return "moltworker"
}

func parameterObject(p parameter) object {
	schema := object{"type": "string"}
	switch {
	case p.kind == reflect.TypeFor[[]string]():
		schema = object{"type": "array", "items": object{"type": "string"}}
	case p.kind == durationType:
		schema["examples"] = []any{"1m30s"}
	case p.kind == timeType:
		schema["examples"] = []any{"2026-11-26T05:00:00Z", "24h"}
	case p.kind.Kind() == reflect.Bool:
		schema = object{"type": "boolean"}
	case p.kind.Kind() == reflect.Int, p.kind.Kind() == reflect.Uint64:
		schema = object{"type": "integer", "minimum": p.least}
		if p.most > 0 {
			schema["maximum"] = p.most
		}
	default:
		schema["maxLength"] = max(p.most, 0)
		if p.most == 0 {
			schema["maxLength"] = mostText
		}
	}
	if p.enum != nil {
		schema["enum"] = p.enum
	}
	if n, err := strconv.Atoi(p.standard); err == nil {
		schema["default"] = n
	} else if p.standard != "" {
		schema["default"] = p.standard
	}
	return object{"name": p.name, "in": "query", "required": p.required, "description": p.doc, "schema": schema}
}

// schemas makes JSON Schemas of Go types.
type schemas struct {
	t         *testing.T
	reflector jsonschema.Reflector
	defs      jsonschema.Definitions
}

// problemBody is a problem document as it stands on the wire.
type problemBody struct {
	Type       string `json:"type"`
	Title      string `json:"title"`
	Status     int    `json:"status"`
	Detail     string `json:"detail,omitempty"`
	Code       string `json:"code"`
	Error      string `json:"error"`
	Details    string `json:"details,omitempty"`
	Hint       string `json:"hint,omitempty"`
	Gateway    string `json:"gateway,omitempty"`
	Generation uint64 `json:"generation,omitempty"`
	RequestID  string `json:"request_id,omitempty"`
	Sent       bool   `json:"sent,omitempty"`
}

// shortNames are those of types of other packages that need no package's name.
var shortNames = map[reflect.Type]string{
	reflect.TypeFor[store.Snapshot](): "Snapshot", reflect.TypeFor[event.Event](): "Event", reflect.TypeFor[auth.Session](): "Session",
	reflect.TypeFor[auth.Token](): "Token", reflect.TypeFor[auth.Password](): "Password", reflect.TypeFor[auth.Passkey](): "Passkey", reflect.TypeFor[openclaw.Device](): "Device", reflect.TypeFor[problemBody](): "Problem",
}

func newSchemas(t *testing.T) *schemas {
	s := &schemas{t: t, defs: jsonschema.Definitions{}}
	comments := commentsIn(t, "..")
	states := &jsonschema.Schema{Type: "string"}
	for _, state := range gateway.States {
		states.Enum = append(states.Enum, state)
	}
	scopes := &jsonschema.Schema{Type: "string"}
	for _, scope := range auth.OwnerScopes {
		scopes.Enum = append(scopes.Enum, scope)
	}
	s.reflector = jsonschema.Reflector{
		Anonymous: true, AllowAdditionalProperties: true, Namer: nameOf,
		LookupComment: func(in reflect.Type, field string) string {
			return comments[in.PkgPath()+"."+plainName(in)+"."+field]
		},
		Mapper: func(of reflect.Type) *jsonschema.Schema {
			switch of {
			case durationType:
				return &jsonschema.Schema{Type: "integer", Format: "int64"}
			case reflect.TypeFor[map[string]any]():
				return &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.TrueSchema}
			case reflect.TypeFor[gateway.State]():
				return states
			case reflect.TypeFor[auth.Scope]():
				return scopes
			case reflect.TypeFor[problem.Document]():
				return s.of(reflect.TypeFor[problemBody]())
			}
			return nil
		},
	}
	return s
}

// of is the schema of a type: a reference to the definition of one that has a name.
func (s *schemas) of(in reflect.Type) *jsonschema.Schema {
	schema := s.reflector.ReflectFromType(in)
	for name, def := range schema.Definitions {
		s.defs[name] = def
	}
	schema.Definitions, schema.Version = nil, ""
	return schema
}

func (s *schemas) all() jsonschema.Definitions { return s.defs }

var typeArgument = regexp.MustCompile(`\[.*[./](\w+)\]`)

// plainName is a type's name without its arguments.
func plainName(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return name
}

func nameOf(t reflect.Type) string {
	if short, ok := shortNames[t]; ok {
		return short
	}
	name := typeArgument.ReplaceAllString(t.Name(), "Of$1")
	if pkg := filepath.Base(t.PkgPath()); pkg != "api" && pkg != "surface" && t.PkgPath() != "" && t != reflect.TypeFor[time.Time]() {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	return name
}

// commentsIn gives the comments at types and fields of the packages beneath a
// folder: "creel/internal/api.Status.Held" is a field, "creel/internal/api.Status."
// the type.
func commentsIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	comments := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		pkg := "creel/internal/" + filepath.ToSlash(strings.TrimPrefix(filepath.Dir(path), dir+"/"))
		ast.Inspect(file, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok {
				return true
			}
			for _, spec := range decl.Specs {
				named, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				at := pkg + "." + named.Name.Name + "."
				comments[at] = oneLine(decl.Doc.Text())
				if body, ok := named.Type.(*ast.StructType); ok {
					for _, field := range body.Fields.List {
						for _, name := range field.Names {
							comments[at+name.Name] = oneLine(field.Doc.Text() + " " + field.Comment.Text())
						}
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return comments
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
