package api

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"creel/internal/auth"
	"creel/internal/problem"
)

// route is one line of the table from which both doors, the OpenAPI document and
// the tests are made.
type route struct {
	method  string
	path    string // as http.ServeMux takes it
	needs   auth.Scope
	id      string // operationId, stable
	summary string
	query   reflect.Type // struct of the parameters; nil: none
	body    reflect.Type // of the JSON body; nil: none
	answers []answer     // to a request that succeeded; all others get a problem document
	serve   func(http.ResponseWriter, *http.Request)

	// socketOnly: it is offered on the control socket alone.
	socketOnly bool
}

// answer is one form of an answer.
type answer struct {
	status int
	media  string
	of     reflect.Type // of the JSON document, or of one item of a stream; nil: no JSON
	stream bool
}

func jsonOf[T any]() answer { return answer{http.StatusOK, mediaJSON, reflect.TypeFor[T](), false} }
func linesOf[T any]() answer {
	return answer{http.StatusOK, mediaNDJSON, reflect.TypeFor[T](), true}
}
func eventsOf[T any]() answer { return answer{http.StatusOK, mediaSSE, reflect.TypeFor[T](), true} }
func bytesOf(media string) answer {
	return answer{status: http.StatusOK, media: media}
}
func (a answer) with(status int) answer { a.status = status; return a }

// none are the parameters of a route that takes none.
type none struct{}

// handle makes a route whose parameters are decoded into a Q. What is not in Q is
// refused.
func handle[Q any](method, path string, needs auth.Scope, id, summary string, serve func(http.ResponseWriter, *http.Request, Q), answers ...answer) route {
	known := parametersOf(reflect.TypeFor[Q]())
	r := route{method: method, path: path, needs: needs, id: id, summary: summary, answers: answers}
	if len(known) > 0 {
		r.query = reflect.TypeFor[Q]()
	}
	r.serve = func(w http.ResponseWriter, req *http.Request) {
		var q Q
		if err := decodeQuery(req.URL.RawQuery, known, reflect.ValueOf(&q).Elem()); err != nil {
			bad(w, err.Error())
			return
		}
		serve(w, req, q)
	}
	return r
}

// taking says that the route takes a JSON body; its handler reads it with
// decodeBody.
func (r route) taking(body reflect.Type) route { r.body = body; return r }

// onSocket keeps the route to the control socket.
func (r route) onSocket() route { r.socketOnly = true; return r }

// handler is the route's handler with what all routes have in common.
func (r route) handler() http.Handler {
	return own(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.body == nil && hasBody(req) {
			bad(w, "this request takes no body; its parameters are in the query")
			return
		}
		r.serve(w, req)
	}))
}

// pattern is the route's pattern for http.ServeMux.
func (r route) pattern() string { return r.method + " " + r.path }

// allMethods are those that are refused with 405 where they are not taken.
var allMethods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// asRoutes gives the lines of auth's table: the routes themselves, and lines that
// refuse the other methods of each path, with what its weakest route needs, so
// that a stranger does not learn which paths exist. (One line without a method
// would be in conflict with "GET …/{id}" beside "POST …/restore".)
func asRoutes(routes []route) []auth.Route {
	var list []auth.Route
	methods := map[string][]string{}
	needs := map[string]auth.Scope{}
	var paths []string
	for _, r := range routes {
		list = append(list, auth.Route{Pattern: r.pattern(), Needs: r.needs, Handler: r.handler()})
		if methods[r.path] == nil {
			paths = append(paths, r.path)
			needs[r.path] = r.needs
		}
		if weaker(r.needs, needs[r.path]) {
			needs[r.path] = r.needs
		}
		methods[r.path] = append(methods[r.path], r.method)
	}
	for _, path := range paths {
		refuse := own(methodNotAllowed(methods[path]))
		for _, method := range allMethods {
			if !slices.Contains(methods[path], method) {
				list = append(list, auth.Route{Pattern: method + " " + path, Needs: needs[path], Handler: refuse})
			}
		}
	}
	return list
}

// byWeight are the scopes, the weakest first.
var byWeight = []auth.Scope{auth.Public, auth.Read, auth.Use, auth.Operate, auth.Admin}

func weaker(a, b auth.Scope) bool { return slices.Index(byWeight, a) < slices.Index(byWeight, b) }

// methodNotAllowed answers with the methods that a path has (RFC 9110 §15.5.6).
func methodNotAllowed(methods []string) http.Handler {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(slices.Clone(methods), http.MethodHead)
	}
	slices.Sort(methods)
	allow := strings.Join(methods, ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := problem.Document{
			Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Title: "That cannot be done here",
			Detail: fmt.Sprintf("%s %s", r.Method, r.URL.Path), Hint: "It takes " + allow + ".",
		}
		d.Write(&allowing{w, allow})
	})
}

// allowing adds the field Allow to an answer whose writer knows nothing of it.
type allowing struct {
	http.ResponseWriter
	methods string
}

func (a *allowing) WriteHeader(status int) {
	a.Header().Set("Allow", a.methods)
	a.ResponseWriter.WriteHeader(status)
}
