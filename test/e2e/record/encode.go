//go:build e2e

package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// barHeight is that of the caption below the picture, in pixels.
const barHeight = 60

// encode writes the video and gives its length.
func (f *frames) encode(ctx context.Context, path string) (time.Duration, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.shown) == 0 {
		return 0, errors.New("cannot make a film: not one frame was shown")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, fmt.Errorf("cannot make a folder for a film: %w", err)
	}
	end := time.Now()
	for name, text := range map[string]string{"frames.txt": f.list(end), "captions.srt": f.subtitles(end)} {
		if err := os.WriteFile(filepath.Join(f.dir, name), []byte(text), 0o600); err != nil {
			return 0, fmt.Errorf("cannot make a film: %w", err)
		}
	}
	filter := fmt.Sprintf("scale=%[1]d:%[2]d:force_original_aspect_ratio=decrease,pad=%[1]d:%[3]d:(ow-iw)/2:0:color=0x20242c,"+
		"subtitles=captions.srt:original_size=%[1]dx%[3]d:force_style='FontName=DejaVu Sans,FontSize=7,Alignment=2,MarginV=4,Outline=0,Shadow=0'", Width, Height, Height+barHeight)
	cmd := exec.CommandContext(ctx, "ffmpeg", "-y", "-loglevel", "error", "-nostdin",
		"-f", "concat", "-safe", "0", "-i", "frames.txt", "-vf", filter,
		// A frame lasts as long as it was shown: nothing is encoded twice.
		"-fps_mode", "vfr", "-c:v", "libx264", "-preset", "superfast", "-crf", "28", "-pix_fmt", "yuv420p",
		"-movflags", "+faststart", path)
	cmd.Dir = f.dir // names in filters would have to be quoted twice
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("cannot make a film: ffmpeg: %w: %s; test/e2e/setup installs it where it is missing", err, strings.TrimSpace(stderr.String()))
	}
	return end.Sub(f.shown[0].at), nil
}

// list is ffmpeg's script of pictures and of how long each is shown.
func (f *frames) list(end time.Time) string {
	var b strings.Builder
	b.WriteString("ffconcat version 1.0\n")
	for i, s := range f.shown {
		until := end
		if i+1 < len(f.shown) {
			until = f.shown[i+1].at
		}
		// Times are kept to the millisecond; else they would be to a 25th of a second.
		fmt.Fprintf(&b, "file %s\noption framerate 1000\nduration %.3f\n", s.file, max(until.Sub(s.at), time.Millisecond).Seconds())
	}
	// The duration of the last one counts only if another one follows.
	fmt.Fprintf(&b, "file %s\n", f.shown[len(f.shown)-1].file)
	return b.String()
}

// subtitles are the captions in the format SubRip.
func (f *frames) subtitles(end time.Time) string {
	var b strings.Builder
	first := f.shown[0].at
	for i, c := range f.captions {
		until := end
		if i+1 < len(f.captions) {
			until = f.captions[i+1].at
		}
		if !until.After(first) {
			continue // it was over before anything was to be seen
		}
		from := max(c.at.Sub(first), 0)
		// Braces would be styles.
		text := strings.NewReplacer("\n", " ", "{", "(", "}", ")").Replace(c.text)
		fmt.Fprintf(&b, "%d\n%s --> %s\n%s\n\n", i+1, stamp(from), stamp(until.Sub(first)), text)
	}
	return b.String()
}

// stamp is a time as SubRip writes it.
func stamp(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d,%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}
