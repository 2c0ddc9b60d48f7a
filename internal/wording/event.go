package wording

import (
	"strings"

	"creel/internal/event"
	"creel/internal/gateway"
)

// The tones: all is well; something is under way; worth knowing, and no trouble; look
// at it; it does not work; it is off.
const (
	ToneOK   = "ok"
	ToneBusy = "busy"
	ToneInfo = "info"
	ToneWarn = "warn"
	ToneBad  = "bad"
	ToneOff  = "off"
)

// About is what an event is called, which part of the timeline it belongs to, and its
// tone.
type About struct{ Title, Kind, Tone string }

// Events says it of the kinds that creel knows.
var Events = map[event.Kind]About{
	event.CreelStarted:    {"creel started", "start", ToneOK},
	event.CreelStopped:    {"creel stopped", "start", ToneOff},
	event.Starting:        {"Gateway starting", "start", ToneBusy},
	event.StartFailed:     {"Start failed", "crash", ToneBad},
	event.Ready:           {"Gateway ready", "start", ToneOK},
	event.Adopted:         {"Gateway taken over", "start", ToneOK},
	event.Suspect:         {"Gateway suspected", "crash", ToneWarn},
	event.Cleared:         {"Suspicion cleared", "crash", ToneOK},
	event.Evidence:        {"What it was found doing", "crash", ToneWarn},
	event.Exited:          {"Gateway ended", "crash", ToneBad},
	event.Killed:          {"Gateway killed", "crash", ToneBad},
	event.Draining:        {"Letting requests end", "start", ToneBusy},
	event.Stopping:        {"Gateway asked to end", "start", ToneBusy},
	event.Stopped:         {"Gateway stopped", "start", ToneOff},
	event.Backoff:         {"Waiting before the next start", "crash", ToneWarn},
	event.Failed:          {"Gateway given up", "crash", ToneBad},
	event.Poisoned:        {"A request crashes the gateway", "crash", ToneBad},
	event.Replayed:        {"Requests sent again", "replay", ToneOK},
	event.Upgraded:        {"creel upgraded", "start", ToneOK},
	event.UpgradeFailed:   {"Upgrade of creel failed", "start", ToneBad},
	event.Rebooted:        {"Gateway restarted itself", "start", ToneOK},
	event.ChannelsOn:      {"Channels started", "start", ToneOK},
	event.ChannelsOff:     {"Channels stay off", "start", ToneWarn},
	event.DeviceApproved:  {"Device approved", "device", ToneOK},
	event.DeviceRejected:  {"Device rejected", "device", ToneOff},
	event.DeviceRevoked:   {"Device revoked", "device", ToneOff},
	event.ConfigChanged:   {"Configuration changed", "config", ToneOK},
	event.Login:           {"Signed in", "signin", ToneOK},
	event.LoginFailed:     {"Sign-in failed", "signin", ToneWarn},
	event.Logout:          {"Signed out", "signin", ToneOff},
	event.SessionRevoked:  {"Session ended", "signin", ToneOff},
	event.TokenCreated:    {"API token made", "signin", ToneOK},
	event.TokenRevoked:    {"API token revoked", "signin", ToneOff},
	event.PasskeyAdded:    {"Passkey added", "signin", ToneOK},
	event.PasskeyRemoved:  {"Passkey removed", "signin", ToneOff},
	event.PasswordSet:     {"Password set", "signin", ToneOK},
	event.PasswordRemoved: {"Password removed", "signin", ToneOff},
	event.BudgetExceeded:  {"Budget for models used up", "health", ToneWarn},

	event.OpenClawConfigChanged:  {"OpenClaw's configuration changed", "config", ToneOK},
	event.OpenClawConfigRefused:  {"OpenClaw refuses its configuration", "config", ToneBad},
	event.OpenClawConfigRepaired: {"OpenClaw's doctor was at work", "config", ToneWarn},
	event.OpenClawConfigFellBack: {"Back to the configuration that ran", "config", ToneWarn},
	event.OpenClawConfigWarning:  {"About OpenClaw's configuration", "config", ToneWarn},
	event.OpenClawUpgrading:      {"Another version of OpenClaw on trial", "start", ToneBusy},
	event.OpenClawUpgraded:       {"OpenClaw upgraded", "start", ToneOK},
	event.OpenClawRollingBack:    {"Going back to the old version", "start", ToneWarn},
	event.OpenClawRolledBack:     {"Old version of OpenClaw is back", "start", ToneWarn},

	event.OwnerTaken:       {"This machine owns the gateway", "health", ToneOK},
	event.OwnedElsewhere:   {"Another machine owns the gateway", "health", ToneWarn},
	event.Frozen:           {"Held still for a snapshot", "snapshot", ToneBusy},
	event.Thawed:           {"Goes on after a snapshot", "snapshot", ToneOK},
	event.Stray:            {"A stray process", "health", ToneWarn},
	event.RecordRefused:    {"A record could not be trusted", "health", ToneWarn},
	event.Degraded:         {"Something is wrong", "health", ToneWarn},
	event.Recovered:        {"Something is well again", "health", ToneOK},
	event.ClockJumped:      {"The clock was set", "health", ToneWarn},
	event.JournalTrouble:   {"Trouble with the journal", "health", ToneWarn},
	event.Gap:              {"Some events are missing", "health", ToneWarn},
	event.SnapshotTaken:    {"Snapshot taken", "snapshot", ToneOK},
	event.SnapshotFailed:   {"Snapshot failed", "snapshot", ToneBad},
	event.SnapshotShrunk:   {"Snapshot is much smaller", "snapshot", ToneWarn},
	event.SnapshotDamaged:  {"Snapshot is damaged", "snapshot", ToneBad},
	event.SnapshotsRemoved: {"Old snapshots removed", "snapshot", ToneOff},
	event.RestoreBegun:     {"Restore begun", "restore", ToneBusy},
	event.Restored:         {"State restored", "restore", ToneOK},
	event.RestoreFailed:    {"Restore failed", "restore", ToneBad},
	event.RestoreUndone:    {"Restore undone", "restore", ToneBad},
	event.RestoreRecovered: {"Restore finished or taken back", "restore", ToneWarn},
	event.FreshStart:       {"State begins anew", "restore", ToneInfo},
}

// Event also knows kinds of other parts of creel by the beginning of their names,
// and says the others as they are.
func Event(e event.Event) About {
	a, ok := Events[e.Kind]
	if !ok {
		a = About{Capital(Plain(string(e.Kind))), kindOfOther(string(e.Kind)), ToneOff}
	}
	if gateway.Cause(e.Cause) == gateway.CauseAsked && a.Kind == "crash" { // an end that was asked for is none that worries
		a.Kind, a.Tone = "start", ToneOff
	}
	return a
}

// kindOfOther is the kind of timeline entry for an event of a part of creel that
// this package does not know.
func kindOfOther(kind string) string {
	for _, k := range []struct{ part, kind string }{
		{"login", "signin"}, {"sign", "signin"}, {"session", "signin"}, {"token", "signin"}, {"auth", "signin"}, {"passkey", "signin"}, {"password", "signin"}, {"access", "signin"},
		{"snapshot", "snapshot"}, {"restore", "restore"}, {"device", "device"}, {"config", "config"}, {"replay", "replay"},
	} {
		if strings.Contains(kind, k.part) {
			return k.kind
		}
	}
	return "health"
}
