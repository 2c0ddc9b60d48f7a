package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed assets pages
var files embed.FS

// assetPrefix is where the files are that a page refers to.
const assetPrefix = Prefix + "ui/assets/"

// asset is a file, as it is served: its name holds a hash of its content, so that
// it may be kept for ever.
type asset struct {
	name string // "creel-1a2b3c4d5e6f.js"
	kind string
	body []byte
	gzip []byte
}

// loaded are all assets, by the name under which they are served and by that of
// the file. They are made when the first page is asked for: a creel whose pages
// nobody looks at pays nothing for them.
var loaded = sync.OnceValue(func() (all struct {
	served map[string]*asset
	files  map[string]*asset
	css    template.CSS
	cssSum string
}) {
	all.served, all.files = map[string]*asset{}, map[string]*asset{}
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		panic(err) // embedded
	}
	for _, e := range entries {
		body, err := files.ReadFile("assets/" + e.Name())
		if err != nil {
			panic(err)
		}
		if e.Name() == "creel.css" { // it is in each page
			body = squeeze(body)
			sum := sha256.Sum256(body)
			all.css, all.cssSum = template.CSS(body), base64.StdEncoding.EncodeToString(sum[:])
			continue
		}
		sum := sha256.Sum256(body)
		ext := path.Ext(e.Name())
		a := &asset{name: strings.TrimSuffix(e.Name(), ext) + "-" + hex.EncodeToString(sum[:6]) + ext, kind: mime.TypeByExtension(ext), body: body, gzip: compress(body)}
		all.served[a.name], all.files[e.Name()] = a, a
	}
	return all
})

// squeeze takes line breaks and indentation out of the style sheet, which has no
// text in which they would mean anything.
func squeeze(css []byte) []byte {
	var b bytes.Buffer
	for line := range bytes.Lines(css) {
		line = bytes.TrimSpace(line)
		if bytes.HasPrefix(line, []byte("/*")) && bytes.HasSuffix(line, []byte("*/")) {
			continue
		}
		b.Write(line)
	}
	return b.Bytes()
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is valid
	}
	_, _ = w.Write(body) // a bytes.Buffer takes all
	_ = w.Close()
	return b.Bytes()
}

// assetPath is where a file of the folder assets is served.
func assetPath(file string) string { return assetPrefix + loaded().files[file].name }

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a := loaded().served[r.PathValue("name")]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	body := a.body
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = a.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may be gone
}

// takesGzip reads Accept-Encoding as far as browsers write it.
func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if coding == "gzip" && strings.ReplaceAll(params, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// compressFast is for what is sent once.
func compressFast(body []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, 4)
	if err != nil {
		panic(err) // the level is valid
	}
	_, _ = w.Write(body) // a bytes.Buffer takes all
	_ = w.Close()
	return b.Bytes()
}
