//go:build e2e

// Package record films what a browser shows, so that a person can see what a
// test has seen.
//
// A film is one video (H.264 in an MP4 file) of one or more tabs, one at a time,
// in real time, with a caption below that says what the test is doing. Frames
// come from Chromium itself, when what it shows has changed: an idle page costs
// nothing, and one that moves all the time costs four frames a second. ffmpeg
// makes the video of them once the film ends.
//
// Rejected: a picture every so often, which costs most while nothing happens;
// filming a display with ffmpeg, which needs an X server; a browser of its own for
// each tab, since a test looks at one at a time.
package record

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// The size of what is filmed: what Chromium shows in a window of 1280 × 900. A video
// is higher by its caption.
const (
	Width  = 1280
	Height = 760
)

const (
	// pause is the least time between two frames: Chromium sends the next one when
	// the last one was acknowledged.
	pause = 250 * time.Millisecond
	// quality is that of JPEG, in percent: letters are to be read.
	quality = 80
	// callLimit is for one call to Chromium. One that is busy, on a busy machine,
	// takes seconds.
	callLimit = 30 * time.Second
)

// Film is a film that is being made. Its methods may be called from several
// goroutines, except Save, which ends it.
type Film struct {
	dir    string // frames; removed with Save
	frames frames

	mu   sync.Mutex
	shot *shot // of the tab that is filmed now; nil: none
}

// New begins a film in which nothing is shown yet.
func New() (*Film, error) {
	dir, err := os.MkdirTemp("", "creel-film-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for a film: %w", err)
	}
	return &Film{dir: dir, frames: frames{dir: dir}}, nil
}

// Show films a tab, given by chromedp's context, in place of the one before.
func (f *Film) Show(tab context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.cut(); err != nil {
		return err
	}
	s, err := begin(tab, &f.frames)
	if err != nil {
		return fmt.Errorf("cannot film a tab: %w", err)
	}
	f.shot = s
	return nil
}

// Say sets the caption from now on.
func (f *Film) Say(caption string) {
	f.frames.say(caption)
}

// cut ends the filming of the present tab, with its last picture.
func (f *Film) cut() error {
	if f.shot == nil {
		return nil
	}
	s := f.shot
	f.shot = nil
	return s.end()
}

// Save ends the film, writes the video and gives its length. A film without a
// single frame is an error: somebody wanted to see something.
func (f *Film) Save(ctx context.Context, path string) (length time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer func() { err = errors.Join(err, os.RemoveAll(f.dir)) }()
	cutErr := f.cut()
	length, err = f.frames.encode(ctx, path)
	return length, errors.Join(cutErr, err)
}

// shot is the filming of one tab.
type shot struct {
	tab  context.Context
	stop context.CancelFunc
	done chan struct{}
	err  error // why it has ended; read when done is closed
}

func begin(tab context.Context, into *frames) (*shot, error) {
	ctx, stop := context.WithCancel(tab)
	s := &shot{tab: tab, stop: stop, done: make(chan struct{})}
	// Subscribed before it is started, so that no frame is lost.
	events := chromedp.Events(ctx, page.ScreencastFrame)
	err := call(ctx, func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, page.BringToFront, cdp.Empty{}); err != nil {
			return err
		}
		_, err := cdp.Call(ctx, t, page.StartScreencast, page.StartScreencastParams{
			Format: page.StartScreencastFormatJpeg, Quality: new(int64(quality)), MaxWidth: Width, MaxHeight: Height,
			// One at a time. What comes meanwhile is sent with the acknowledgement:
			// the last picture before the page comes to rest is not lost.
			MaxFramesInFlight: 1, SendLastFrame: new(true),
		})
		return err
	})
	if err != nil {
		stop()
		return nil, err
	}
	shown := make(chan page.EventScreencastFrame, 8)
	go func() { // ends with the subscription, which ends with ctx or with the tab
		defer close(shown)
		for event, err := range events {
			if err != nil {
				return
			}
			select {
			case shown <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { // ends when shown does
		defer close(s.done)
		s.err = s.film(ctx, shown, into)
		for range shown { // wait until the subscription is over
		}
	}()
	return s, nil
}

// film keeps frames as they come, and at the end what is to be seen then.
func (s *shot) film(ctx context.Context, shown <-chan page.EventScreencastFrame, into *frames) error {
	for event := range shown {
		if err := into.add(event.Data); err != nil {
			return err
		}
		if !wait(ctx, pause) {
			break
		}
		err := call(ctx, func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, page.ScreencastFrameAck, page.ScreencastFrameAckParams{SessionID: event.SessionID})
			return err
		})
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
	}
	if s.tab.Err() != nil {
		return nil // the tab is gone, and with it its last picture
	}
	return s.look(into)
}

// look keeps what the tab shows at this moment.
func (s *shot) look(into *frames) error {
	return call(s.tab, func(ctx context.Context, t *chromedp.Target) error {
		p, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{
			Format: page.CaptureScreenshotFormatJpeg, Quality: new(int64(quality)),
		})
		if err != nil {
			return err
		}
		return into.add(p.Data)
	})
}

// end stops it and waits until it has ended.
func (s *shot) end() error {
	s.stop()
	<-s.done
	if s.tab.Err() != nil {
		return nil // with its tab
	}
	err := call(s.tab, func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.StopScreencast, cdp.Empty{})
		return err
	})
	return errors.Join(s.err, err)
}

// call does something with a tab, for callLimit at most.
func call(tab context.Context, do func(context.Context, *chromedp.Target) error) error {
	ctx, cancel := context.WithTimeout(tab, callLimit)
	defer cancel()
	return chromedp.Do(ctx, chromedp.Func(do))
}

// wait waits, and tells whether it did to the end.
func wait(ctx context.Context, for_ time.Duration) bool {
	timer := time.NewTimer(for_)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// frames are pictures with the times from which they were shown, and the captions
// likewise.
type frames struct {
	dir string

	mu       sync.Mutex
	last     []byte
	shown    []frame
	captions []caption
}

type frame struct {
	file string
	at   time.Time
}

type caption struct {
	text string
	at   time.Time
}

// add keeps a picture that is shown from now on, unless it is the same as before.
func (f *frames) add(jpeg []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if bytes.Equal(jpeg, f.last) {
		return nil
	}
	name := fmt.Sprintf("%06d.jpg", len(f.shown)+1)
	if err := os.WriteFile(filepath.Join(f.dir, name), jpeg, 0o600); err != nil {
		return fmt.Errorf("cannot keep a frame of a film: %w", err)
	}
	f.last = bytes.Clone(jpeg)
	f.shown = append(f.shown, frame{name, time.Now()})
	return nil
}

func (f *frames) say(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.captions = append(f.captions, caption{text, time.Now()})
}
