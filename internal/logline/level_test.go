package logline

import "testing"

func TestLevelOf(t *testing.T) {
	for line, want := range map[string]Level{
		"2026-11-26T02:00:26.209+00:00 [admission] closed: restart": "",
		"2026-11-26 02:00:26 INFO ready":                            "info",
		"[error] it broke":                                          "error",
		"warning: old option":                                       "warn",
		"no error was found":                                        "",
		"for more info see the manual":                              "",
		`{"time":1,"level":"warn","msg":"ERROR is only a word"}`:    "warn",
		"time=1 level=debug msg=x":                                  "debug",
		"TypeError: x is not a function":                            "error",
		"FATAL out of memory":                                       "error",
		"12:00 INF started":                                         "info",
		"12:00 ERR no":                                              "error",
		"info on err and inf":                                       "",
		"Uncaught exception":                                        "error",
		"":                                                          "",
	} {
		if got := LevelOf(line); got != want {
			t.Errorf("%q is %q, want %q", line, got, want)
		}
	}
}
