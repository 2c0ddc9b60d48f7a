package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

func TestLoggerRedactsEverythingInEveryFormat(t *testing.T) {
	for _, format := range []string{"text", "json", "colour"} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			log := testLogger(t, &out, "debug", format)
			log = log.With("apiKey", "leak-1", KeyGateway, "main").WithGroup("g")
			log.Error("sent token=leak-2",
				KeyError, fmt.Errorf("dial: %w", errors.New("GET /?key=leak-3")),
				"password", "leak-4",
				"pin_password", 987654,
				slog.Group("inner", "secret", "leak-5", "n", 1),
				"struct", struct{ Token, Kind string }{"leak-6", "kept"},
				"secret_value", Secret("leak-7"),
				"headers", map[string][]string{"Cookie": {"leak-8"}})
			got := out.String()
			if strings.Contains(got, "leak") || strings.Contains(got, "987654") {
				t.Errorf("a secret is shown: %s", got)
			}
			for _, kept := range []string{"main", "kept", "GET /?key="} {
				if !strings.Contains(got, kept) {
					t.Errorf("%q is missing: %s", kept, got)
				}
			}
		})
	}
}

func testLogger(t *testing.T, out *bytes.Buffer, level, format string) *slog.Logger {
	t.Helper()
	colour := format == "colour"
	if colour {
		format = FormatText
	}
	var least Level
	if err := least.Set(level); err != nil {
		t.Fatal(err)
	}
	log, err := newLogger(out, &least, format, colour)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func TestLoggerFormats(t *testing.T) {
	var text, js, colour bytes.Buffer
	testLogger(t, &text, "", "").Info("hello", KeyPort, 80)
	testLogger(t, &js, "info", "json").Info("hello", KeyPort, 80)
	testLogger(t, &colour, "info", "colour").Info("hello", KeyPort, 80)
	if !strings.Contains(text.String(), "level=INFO msg=hello port=80") {
		t.Errorf("text: %q", text.String())
	}
	var record map[string]any
	if err := json.Unmarshal(js.Bytes(), &record); err != nil || record["port"] != 80.0 || record["msg"] != "hello" {
		t.Errorf("json: %s, %v", js.String(), err)
	}
	if !strings.Contains(colour.String(), "\x1b[") || !strings.Contains(colour.String(), "hello") {
		t.Errorf("colour: %q", colour.String())
	}
}

func TestLoggerLevels(t *testing.T) {
	for level, want := range map[string]string{
		"debug": "DIWE", "info": "IWE", "": "IWE", "warn": "WE", "error": "E",
	} {
		var out bytes.Buffer
		log := testLogger(t, &out, level, "text")
		log.Debug("D")
		log.Info("I")
		log.Warn("W")
		log.Error("E")
		got := ""
		for line := range strings.Lines(out.String()) {
			_, msg, _ := strings.Cut(line, "msg=")
			got += strings.TrimSpace(msg)
		}
		if got != want {
			t.Errorf("level %q lets through %q, want %q", level, got, want)
		}
	}
}

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	if err := new(Level).Set("loud"); err == nil || !strings.Contains(err.Error(), "warn") {
		t.Errorf("level: %v", err)
	}
	if _, err := NewLogger(os.Stderr, &Level{}, "xml"); err == nil || !strings.Contains(err.Error(), "json") {
		t.Errorf("format: %v", err)
	}
}

func TestColourIsForTerminals(t *testing.T) {
	device, err := os.Open("/dev/zero") // a character device, as terminals are
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	file, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	if !WantsColour(device, os.LookupEnv) {
		t.Error("a character device gets no colour")
	}
	if WantsColour(file, os.LookupEnv) || WantsColour(new(bytes.Buffer), os.LookupEnv) {
		t.Error("a file or a buffer gets colour")
	}
	t.Setenv("NO_COLOR", "1")
	if WantsColour(device, os.LookupEnv) {
		t.Error("NO_COLOR is not honoured")
	}
}
