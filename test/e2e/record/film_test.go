//go:build e2e

package record

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chromium starts one that ends with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	profile := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.UserDataDir(profile),
		chromedp.WindowSize(1280, 900), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Env("HOME="+profile))
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Error(err)
		}
		stop()
		stopAllocator()
	})
	return ctx
}

// colour is a page of one colour.
func colour(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprintf(w, `<body style="margin:0;background:%s">`, strings.TrimPrefix(r.URL.Path, "/"))
}

// TestFilm: what two tabs have shown is in the video, in order and as long as it
// was shown, and so are the captions.
func TestFilm(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(colour))
	defer server.Close()
	first := chromium(t)
	if err := chromedp.Do(first, chromedp.Navigate(server.URL+"/red")); err != nil {
		t.Fatal(err)
	}
	second, stop := chromedp.NewContext(first)
	defer stop()
	if err := chromedp.Do(second, chromedp.Navigate(server.URL+"/blue")); err != nil {
		t.Fatal(err)
	}

	film, err := New()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	steps := []struct {
		colour string // of the page
		show   func() error
		at     time.Duration // when it was shown, since the first picture
	}{
		{"red", func() error { return film.Show(first) }, 0},
		{"blue", func() error { return film.Show(second) }, 0},
		{"lime", func() error { return chromedp.Do(second, chromedp.Navigate(server.URL+"/lime")) }, 0},
		{"red", func() error { return film.Show(first) }, 0},
	}
	for i := range steps {
		film.Say("now " + steps[i].colour)
		if err := steps[i].show(); err != nil {
			t.Fatal(err)
		}
		steps[i].at = film.until(t, steps[i].colour)
	}
	path := filepath.Join(t.TempDir(), "film.mp4")
	length, err := film.Save(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if length <= 0 || length > time.Since(began) {
		t.Errorf("its length is %v, after %v", length, time.Since(began))
	}
	if got := probe(t, path); got < length-100*time.Millisecond || got > length+time.Second {
		t.Errorf("the video is %v long, want %v", got, length)
	}
	for _, s := range steps {
		picture := pictureAt(t, path, s.at)
		if got := picture.Bounds().Size(); got != (image.Point{Width, Height + barHeight}) {
			t.Fatalf("the picture is %v", got)
		}
		if got := nameOf(picture); got != s.colour {
			t.Errorf("%v after its begin it shows %s, want %s", s.at, got, s.colour)
		}
		if !hasCaption(picture) {
			t.Errorf("%v after its begin it has no caption", s.at)
		}
	}
}

// TestNothingShown: a film of nothing is no film.
func TestNothingShown(t *testing.T) {
	film, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := film.Save(t.Context(), filepath.Join(t.TempDir(), "film.mp4")); err == nil {
		t.Error("a film without a frame was saved")
	}
}

// until waits until the last picture is of a colour, and tells since when.
func (f *Film) until(t *testing.T, colour string) (since time.Duration) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(callLimit); time.Now().Before(deadline); <-tick.C {
		f.frames.mu.Lock()
		last, shown := f.frames.last, f.frames.shown
		f.frames.mu.Unlock()
		if len(shown) == 0 {
			continue
		}
		picture, err := jpeg.Decode(bytes.NewReader(last))
		if err != nil {
			t.Fatal(err)
		}
		if nameOf(picture) == colour {
			return shown[len(shown)-1].at.Sub(shown[0].at)
		}
	}
	t.Fatalf("%s is not shown", colour)
	return 0
}

// probe gives the length of a video, as ffprobe sees it.
func probe(t *testing.T, path string) time.Duration {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(seconds * float64(time.Second))
}

// pictureAt gives the picture that a video shows from that time on. ffmpeg gives
// the first one that does not begin earlier.
func pictureAt(t *testing.T, path string, at time.Duration) image.Image {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-loglevel", "error", "-ss", fmt.Sprintf("%.3f", max(0, at-2*time.Millisecond).Seconds()), "-i", path, "-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	picture, err := png.Decode(&stdout)
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

// nameOf gives the colour of a page.
func nameOf(picture image.Image) string {
	r, g, b, _ := picture.At(Width/2, Height/2).RGBA()
	const high = 0x9000
	switch {
	case r > high && g < high && b < high:
		return "red"
	case g > high && r < high && b < high:
		return "lime"
	case b > high && r < high && g < high:
		return "blue"
	default:
		return fmt.Sprintf("%04x %04x %04x", r, g, b)
	}
}

// hasCaption tells whether something light is in the dark bar.
func hasCaption(picture image.Image) bool {
	for y := Height; y < Height+barHeight; y++ {
		for x := range Width {
			if r, g, b, _ := picture.At(x, y).RGBA(); r > 0xb000 && g > 0xb000 && b > 0xb000 {
				return true
			}
		}
	}
	return false
}
