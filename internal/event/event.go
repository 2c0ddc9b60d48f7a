package event

import "time"

// Kind is the sort of an event; a stable word.
type Kind string

// The kinds.
const (
	CreelStarted    Kind = "creel_started"
	CreelStopped    Kind = "creel_stopped"
	Starting        Kind = "starting"        // an instance is being started
	StartFailed     Kind = "start_failed"    // it could not be started, or was not ready in time
	Ready           Kind = "ready"           // it answers
	Adopted         Kind = "adopted"         // a running instance was taken over
	Suspect         Kind = "suspect"         // it refused a connection or fell silent
	Cleared         Kind = "cleared"         // the suspicion was false
	Evidence        Kind = "evidence"        // what a silent instance was found doing
	Exited          Kind = "exited"          // its main process ended
	Killed          Kind = "killed"          // creel killed it, or what was left of it
	Draining        Kind = "draining"        // no new requests; those under way go on
	Stopping        Kind = "stopping"        // asked to end
	Stopped         Kind = "stopped"         // ended, as asked for
	Backoff         Kind = "backoff"         // waiting before the next start
	Failed          Kind = "failed"          // given up until told otherwise
	Poisoned        Kind = "poisoned"        // a request was found to end every instance it reaches
	Replayed        Kind = "replayed"        // requests were sent again after a crash
	Upgraded        Kind = "upgraded"        // another creel has taken over
	UpgradeFailed   Kind = "upgrade_failed"  // it could not; this one carries on
	Rebooted        Kind = "rebooted"        // it restarted within its process
	ChannelsOn      Kind = "channels_on"     // channels that it had left off after crashes were started
	ChannelsOff     Kind = "channels_off"    // they could not be, or are not to be
	DeviceApproved  Kind = "device_approved" // a person let a device in, by creel
	DeviceRejected  Kind = "device_rejected" // turned it away
	DeviceRevoked   Kind = "device_revoked"  // shut it out again
	BudgetExceeded  Kind = "budget_exceeded" // requests to model providers are refused until the next day
	ConfigChanged   Kind = "config_changed"
	Login           Kind = "login"            // somebody has signed in
	LoginFailed     Kind = "login_failed"     // somebody tried to
	Logout          Kind = "logout"           // somebody has signed out
	SessionRevoked  Kind = "session_revoked"  // a session was ended by another
	TokenCreated    Kind = "token_created"    // an API token was made
	TokenRevoked    Kind = "token_revoked"    // it is good no longer
	PasskeyAdded    Kind = "passkey_added"    // an owner has registered one
	PasskeyRemoved  Kind = "passkey_removed"  // it signs nobody in any more
	PasswordSet     Kind = "password_set"     // an owner has given creel a password, or another one
	PasswordRemoved Kind = "password_removed" // it signs nobody in any more

	OpenClawConfigChanged  Kind = "openclaw_config_changed"   // its own configuration is another; fields tell what and who
	OpenClawConfigRefused  Kind = "openclaw_config_refused"   // it does not start with it
	OpenClawConfigRepaired Kind = "openclaw_config_repaired"  // its doctor was at work
	OpenClawConfigFellBack Kind = "openclaw_config_fell_back" // the last one that ran is in place
	OpenClawConfigWarning  Kind = "openclaw_config_warning"   // it takes it, and has something to say
	OpenClawUpgrading      Kind = "openclaw_upgrading"        // another version is on trial
	OpenClawUpgraded       Kind = "openclaw_upgraded"
	OpenClawRollingBack    Kind = "openclaw_rolling_back" // the other version does not work
	OpenClawRolledBack     Kind = "openclaw_rolled_back"  // the old version, and its state, are back

	OwnerTaken     Kind = "owner_taken"     // this creel is the owner of the gateway, among those that share its store
	OwnedElsewhere Kind = "owned_elsewhere" // another one is
	Frozen         Kind = "frozen"          // it is held still, for a snapshot
	Thawed         Kind = "thawed"          // it goes on
	Stray          Kind = "stray"           // processes run in its name beside the recorded instance
	RecordRefused  Kind = "record_refused"  // an instance record could not be trusted
	Degraded       Kind = "degraded"        // something keeps creel from doing all of its work
	Recovered      Kind = "recovered"       // it does no longer
	ClockJumped    Kind = "clock_jumped"    // the wall clock was set; times before and after do not compare
	JournalTrouble Kind = "journal_trouble" // events were lost, or a damaged file was set aside
)

// The kinds that tell of a gateway's state.
const (
	SnapshotTaken    Kind = "snapshot_taken"
	SnapshotFailed   Kind = "snapshot_failed"
	SnapshotShrunk   Kind = "snapshot_shrunk"   // it is much smaller than the one before
	SnapshotDamaged  Kind = "snapshot_damaged"  // it cannot be read back as it was saved
	SnapshotsRemoved Kind = "snapshots_removed" // none of them is needed any more
	RestoreBegun     Kind = "restore_begun"
	Restored         Kind = "restored"
	RestoreFailed    Kind = "restore_failed"    // the old state is as it was
	RestoreUndone    Kind = "restore_undone"    // no instance got ready on the restored state: the old one is back
	RestoreRecovered Kind = "restore_recovered" // one that was cut short was finished or taken back
	FreshStart       Kind = "fresh_start"       // the state begins anew
)

// Event is one thing that happened.
type Event struct {
	Seq        uint64         `json:"seq"`  // grows by one; set by the journal, goes on across restarts
	Time       time.Time      `json:"time"` // UTC; set by the journal if zero
	Kind       Kind           `json:"kind"`
	Gateway    string         `json:"gateway,omitempty"`
	Generation uint64         `json:"generation,omitempty"`
	Message    string         `json:"message"`          // one sentence for a person
	Cause      string         `json:"cause,omitempty"`  // stable word: exit_code, signal, oom, port_taken, config_refused, asked, …
	Fields     map[string]any `json:"fields,omitempty"` // what else is known; redacted
}
