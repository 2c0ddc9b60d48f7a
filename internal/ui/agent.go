package ui

import (
	"regexp"
	"strings"
)

// agents are browsers as their User-Agent fields name them, those first that name others
// beside themselves.
var agents = []struct {
	name string
	mark *regexp.Regexp
}{
	{"Edge", regexp.MustCompile(`\bEdg(?:e|A|iOS)?/(\d+)`)},
	{"Opera", regexp.MustCompile(`\bOPR/(\d+)`)},
	{"Samsung Internet", regexp.MustCompile(`\bSamsungBrowser/(\d+)`)},
	{"Firefox", regexp.MustCompile(`\b(?:Firefox|FxiOS)/(\d+)`)},
	{"Chrome", regexp.MustCompile(`\b(?:Chrome|HeadlessChrome|Chromium|CriOS)/(\d+)`)},
	{"Safari", regexp.MustCompile(`\bVersion/(\d+)[.\d]* (?:Mobile/\S+ )?Safari/`)},
}

// systems are what browsers run on, those first whose names have others in them.
var systems = []struct{ mark, name string }{
	{"iPhone", "an iPhone"}, {"iPad", "an iPad"}, {"Android", "Android"}, {"CrOS", "ChromeOS"}, {"Windows", "Windows"}, {"Macintosh", "a Mac"}, {"Linux", "Linux"},
}

// longestAgent is how much of a User-Agent field is shown that is no browser's.
const longestAgent = 60

// browserOf says what a User-Agent field means: a guess, since everybody writes there what
// they like.
func browserOf(agent string) string {
	system := ""
	for _, s := range systems {
		if strings.Contains(agent, s.mark) {
			system = " on " + s.name
			break
		}
	}
	for _, a := range agents {
		if m := a.mark.FindStringSubmatch(agent); m != nil {
			return a.name + " " + m[1] + system
		}
	}
	if strings.HasPrefix(agent, "Mozilla/") && system != "" {
		return "A browser" + system
	}
	return clip(agent, longestAgent)
}
