package webui

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The files behind the paths that people type, on a box and on a cloud node.
// The dashboard is one page that reads its path itself.
var (
	boxPages   = map[string]string{"/": "assets/console.html", "/call": "assets/call.html"}
	cloudPages = map[string]string{
		"/": "assets/dashboard.html", "/problems": "assets/dashboard.html",
		"/people": "assets/dashboard.html", "/webhooks": "assets/dashboard.html", "/audit": "assets/dashboard.html", sitePath: "assets/dashboard.html",
	}
)

// sitePath stands for the page of any site.
const sitePath = "/site/"

// staticPrefix is what pages write; the hash is put in when they are served.
const staticPrefix = "/static/"

var (
	scriptTag  = regexp.MustCompile(`<script type="module" src="/static/([^"]+)"`)
	staticName = regexp.MustCompile(`"/static/([^"]+)"`)
	importFrom = regexp.MustCompile(`(?m)^(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"](\.[^'"]+)['"]`)
)

func load(files fs.FS, pages map[string]string) (site, error) {
	raw, err := readAll(files)
	if err != nil {
		return nil, err
	}
	served := make(map[string][]byte, len(raw))
	for name, data := range raw {
		served[name] = slim(name, data)
	}
	hash := contentHash(served)
	s := make(site)
	for name, data := range served {
		if path.Ext(name) != ".html" {
			s[staticPrefix+hash+"/"+name] = newAnswer(name, data, cacheForGood)
		}
	}
	// Whoever writes pages against the library reads it where it is served, so
	// it keeps its comments and types there.
	for name, data := range raw {
		if strings.HasPrefix(name, "client/") {
			s["/"+name] = newAnswer(name, data, cacheChecked)
			s["/"+name].anyOrigin = true
		}
	}
	for at, name := range pages {
		page, err := finish(served[name], served, hash)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s[at] = newAnswer(name, page, cacheChecked)
	}
	return s, nil
}

func readAll(files fs.FS) (map[string][]byte, error) {
	all := make(map[string][]byte)
	for _, pattern := range []string{"client/*.js", "assets/*.html", "assets/*.css", "assets/*.svg", "assets/*/*.js", "assets/*/*.css"} {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if all[name], err = fs.ReadFile(files, name); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func contentHash(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s %d\n", name, len(files[name]))
		h.Write(files[name])
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// finish puts the hash into a page's links, and names every module the page
// will import, so that the browser asks for all of them at once.
func finish(page []byte, files map[string][]byte, hash string) ([]byte, error) {
	for _, m := range staticName.FindAllSubmatch(page, -1) {
		if _, ok := files[string(m[1])]; !ok {
			return nil, fmt.Errorf("it names %s, which does not exist", m[1])
		}
	}
	var preload bytes.Buffer
	for _, m := range scriptTag.FindAllSubmatch(page, -1) {
		modules, err := imports(files, string(m[1]))
		if err != nil {
			return nil, err
		}
		for _, name := range modules {
			fmt.Fprintf(&preload, "<link rel=\"modulepreload\" href=\"/static/%s\">\n", name)
		}
	}
	page = bytes.Replace(page, []byte("</head>"), append(preload.Bytes(), "</head>"...), 1)
	return bytes.ReplaceAll(page, []byte(`"`+staticPrefix), []byte(`"`+staticPrefix+hash+"/")), nil
}

// imports lists what a module imports, directly or not, sorted, without itself.
func imports(files map[string][]byte, entry string) ([]string, error) {
	found := map[string]bool{}
	open := []string{entry}
	for len(open) > 0 {
		name := open[len(open)-1]
		open = open[:len(open)-1]
		for _, m := range importFrom.FindAllSubmatch(files[name], -1) {
			target := path.Join(path.Dir(name), string(m[1]))
			if _, ok := files[target]; !ok {
				return nil, fmt.Errorf("%s imports %s, which does not exist", name, m[1])
			}
			if !found[target] && target != entry {
				found[target] = true
				open = append(open, target)
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}
