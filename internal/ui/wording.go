package ui

import "creel/internal/wording"

// What the command line says in the same words.
var (
	span      = wording.Span
	ago       = wording.Ago
	took      = wording.Took
	size      = wording.Size
	count     = wording.Count
	fileCount = wording.Files
	plain     = wording.Plain
	capital   = wording.Capital
	human     = wording.Numbers
	quoted    = wording.Quoted
)

// The tones; see package wording.
const (
	toneOK   = wording.ToneOK
	toneBusy = wording.ToneBusy
	toneInfo = wording.ToneInfo
	toneWarn = wording.ToneWarn
	toneBad  = wording.ToneBad
	toneOff  = wording.ToneOff
)
