package openclaw

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Inspector sees to it that an instance is started with a configuration that
// OpenClaw takes. In this order:
//
//  1. What others have changed since the last time is noted.
//  2. creel's own keys are put in (Configure), and that is noted.
//  3. Unless it was found valid before, OpenClaw's "config validate" is asked, which
//     takes one to two seconds, five on a busy machine. So a restart after a crash
//     costs nothing, nor does the first start of all, whose file is creel's alone.
//  4. What OpenClaw refuses, here or with exit code 78 (Refused), is copied aside,
//     and OpenClaw's doctor has one turn at it.
//  5. If that does not help, the last configuration that ran takes its place.
//  6. If there is none, or it is refused too, the file is as it was before, and the
//     error says what OpenClaw has said.
//
// It is used while no instance runs, by one goroutine at a time.
type Inspector struct {
	Layout  Layout
	Version string // of OpenClaw
	Run     Runner
	// Configure puts creel's own keys in.
	Configure func() (Configured, error)
	// Note is told of each change; may be nil.
	Note func(ConfigNote)
	// NoFallBack leaves out the fifth step: while another version is on trial, what
	// ran before tells nothing.
	NoFallBack bool

	now func() time.Time // tests: instead of time.Now
}

// What a ConfigNote may tell of.
const (
	ConfigChanged  = "changed"
	ConfigRefused  = "refused"  // OpenClaw does not start with it
	ConfigRepaired = "repaired" // by OpenClaw's doctor
	ConfigFellBack = "fell_back"
	ConfigWarning  = "warning"
)

// ConfigNote tells what has become of the configuration.
type ConfigNote struct {
	What    string // one of the words above
	By      Author
	Message string // one sentence for a person
	Changes []ConfigChange
	Kept    string // where the refused one was copied to; empty: it was not
}

func (i *Inspector) note(n ConfigNote) {
	if i.Note != nil {
		i.Note(n)
	}
}

func (i *Inspector) clock() time.Time {
	if i.now != nil {
		return i.now()
	}
	return time.Now()
}

// Prepare makes the configuration fit for a start. The error is a *ConfigError if
// a person has to act.
func (i *Inspector) Prepare(ctx context.Context) (Configured, error) {
	record, err := readConfigRecord(i.Layout)
	if err != nil {
		return Configured{}, err
	}
	if err := i.noticeOthers(); err != nil {
		return Configured{}, err
	}
	before, _ := i.Layout.present()
	c, err := i.Configure()
	if refused, ok := errors.AsType[*ConfigError](err); ok && refused.Reason == ConfigSyntax {
		// What creel cannot read OpenClaw cannot either, nor can its doctor.
		c, err := i.rescue(ctx, &record, before, refused.Detail+": "+fmt.Sprint(refused.Err), false)
		if invalid, ok := errors.AsType[*ConfigError](err); ok && invalid.Reason == ConfigInvalid && invalid.Err == nil {
			return c, refused // it says where
		}
		return c, err
	}
	if err != nil {
		return Configured{}, err
	}
	after, _ := i.Layout.present()
	if before != nil && c.Changed {
		if changes := DiffConfig(before, after); len(changes) > 0 {
			i.note(ConfigNote{What: ConfigChanged, By: ByCreel, Message: "creel has changed openclaw.json", Changes: changes})
		}
	}
	return i.admit(ctx, &record, c)
}

// noticeOthers notes what others have changed.
func (i *Inspector) noticeOthers() error {
	seen, err := i.Layout.readCopy(copySeen)
	if err != nil {
		return fmt.Errorf("cannot read what is known of OpenClaw's configuration: %w", err)
	}
	now, path := i.Layout.present()
	if seen == nil || now == nil || configID("", seen) == configID("", now) {
		return nil
	}
	if _, err := parseDocument(now); err != nil {
		return nil // Configure tells of it
	}
	changes := DiffConfig(seen, now)
	by := authorOf(path, seen)
	i.note(ConfigNote{What: ConfigChanged, By: by, Message: by.Words() + " has changed openclaw.json since the gateway was started last", Changes: changes})
	return nil
}

// admit lets the present configuration be started with, or another one.
func (i *Inspector) admit(ctx context.Context, record *configRecord, c Configured) (Configured, error) {
	b, _ := i.Layout.present()
	id := configID(i.Version, b)
	if r := record.Refused[id]; r.Pending {
		return i.rescue(ctx, record, b, r.Message, true)
	}
	if c.Bare {
		record.Valid = id
	}
	if record.Valid != id {
		f, err := validate(ctx, i.Run)
		switch {
		case ctx.Err() != nil:
			return Configured{}, context.Cause(ctx)
		case err != nil: // the start will show
			c.Notes = append(c.Notes, err.Error())
		case !f.Valid:
			return i.rescue(ctx, record, b, words(f.Issues), true)
		default:
			record.Valid = id
			if len(f.Warnings) > 0 {
				i.note(ConfigNote{What: ConfigWarning, By: ByOpenClaw, Message: "OpenClaw says of its configuration: " + words(f.Warnings)})
			}
		}
	}
	return c, i.start(record, b)
}

// start notes that an instance is started with that configuration.
func (i *Inspector) start(record *configRecord, b []byte) error {
	return errors.Join(i.Layout.keepCopy(copySeen, b), i.Layout.keepCopy(copyTrying, b), record.write(i.Layout))
}

// rescue deals with a configuration that OpenClaw refuses.
func (i *Inspector) rescue(ctx context.Context, record *configRecord, refused []byte, message string, mayDoctor bool) (Configured, error) {
	_, path := i.Layout.present()
	if info, err := os.Stat(path); err == nil && info.Mode()&0o200 == 0 {
		return Configured{}, i.refusal(path, message, nil) // its owner wants no changes
	}
	id := configID(i.Version, refused)
	known := record.Refused[id]
	kept, err := setAside(path, refused, i.clock())
	if err != nil {
		return Configured{}, i.refusal(path, message, err)
	}
	i.note(ConfigNote{What: ConfigRefused, By: ByOpenClaw, Message: "OpenClaw does not start with its configuration: " + message, Kept: kept})
	var tried error
	if mayDoctor && !known.Doctored {
		// On disk first: a creel that dies meanwhile does not ask again.
		record.Refused[id] = refusal{Message: message, At: i.clock(), Doctored: true}
		record.Valid = ""
		if err := record.write(i.Layout); err != nil {
			return Configured{}, err
		}
		c, good, err := i.tryDoctor(ctx, record, refused, kept)
		switch {
		case good:
			return c, err
		case ctx.Err() != nil:
			return Configured{}, context.Cause(ctx)
		}
		tried = err
	}
	if !i.NoFallBack {
		c, good, err := i.fallBack(ctx, record, refused, message, kept)
		switch {
		case good:
			return c, err
		case ctx.Err() != nil:
			return Configured{}, context.Cause(ctx)
		}
		tried = errors.Join(tried, err)
	}
	// A next start is a person's, who may have mended what the file does not tell of.
	record.Refused = map[string]refusal{}
	record.Valid = ""
	back := writeFile(path, refused)
	if back == nil {
		back = os.Remove(kept)
	} else {
		back = fmt.Errorf("%w; what was there is %s", back, kept)
	}
	err = errors.Join(tried, back, i.Layout.keepCopy(copySeen, refused), record.write(i.Layout))
	return Configured{}, i.refusal(path, message, err)
}

func (i *Inspector) refusal(path, message string, err error) error {
	return &ConfigError{Path: path, Reason: ConfigInvalid, Detail: "OpenClaw does not start with it: " + message, Next: "correct it", Err: err}
}

// tryDoctor gives OpenClaw's doctor its turn. good: an instance can be started.
func (i *Inspector) tryDoctor(ctx context.Context, record *configRecord, refused []byte, kept string) (c Configured, good bool, err error) {
	if err := doctor(ctx, i.Run); err != nil {
		return c, false, err
	}
	if c, err = i.Configure(); err != nil {
		return c, false, err
	}
	// A file that was valid all along, and is as it was, is worth one more start:
	// the doctor repairs the state as well.
	f, err := validate(ctx, i.Run)
	if err != nil || !f.Valid {
		return c, false, err
	}
	b, _ := i.Layout.present()
	changes := DiffConfig(refused, b)
	record.Valid = configID(i.Version, b)
	i.note(ConfigNote{What: ConfigRepaired, By: ByOpenClaw, Message: "OpenClaw's doctor has been at work on configuration and state; what was there is " + kept, Changes: changes, Kept: kept})
	return c, true, i.start(record, b)
}

// fallBack puts the last configuration that ran in the place of the refused one.
func (i *Inspector) fallBack(ctx context.Context, record *configRecord, refused []byte, message, kept string) (c Configured, good bool, err error) {
	ran, err := i.Layout.readCopy(copyRan)
	if err != nil || ran == nil || record.Ran == nil {
		return c, false, err
	}
	id := configID(i.Version, ran)
	if _, bad := record.Refused[id]; bad || id == configID(i.Version, refused) {
		return c, false, nil
	}
	_, path := i.Layout.present()
	if err := writeFile(path, ran); err != nil {
		return c, false, err
	}
	if c, err = i.Configure(); err != nil {
		return c, false, err
	}
	b, _ := i.Layout.present()
	if f, err := validate(ctx, i.Run); err == nil && !f.Valid || ctx.Err() != nil {
		return c, false, err
	}
	record.Valid = configID(i.Version, b)
	record.Refused[configID(i.Version, refused)] = refusal{Message: message, At: i.clock(), Doctored: true}
	i.note(ConfigNote{
		What: ConfigFellBack, By: ByCreel, Changes: DiffConfig(refused, b), Kept: kept,
		Message: fmt.Sprintf("the configuration that ran last (%s) takes the place of the one that OpenClaw refuses, which is now %s: %s", record.Ran.At.Local().Format(time.DateTime), kept, message),
	})
	return c, true, i.start(record, b)
}

// Refused is told that an instance has ended with exit code 78, and why. again: the
// next Prepare has something to try.
func (i *Inspector) Refused(message string) (again bool, err error) {
	record, err := readConfigRecord(i.Layout)
	if err != nil {
		return false, err
	}
	b, _ := i.Layout.present()
	id := configID(i.Version, b)
	r := record.Refused[id]
	r.Message, r.At, r.Pending = message, i.clock(), true
	record.Refused[id] = r
	record.Valid = ""
	again = !r.Doctored
	if !again && !i.NoFallBack && record.Ran != nil {
		ran, err := i.Layout.readCopy(copyRan)
		if err != nil {
			return false, err
		}
		_, bad := record.Refused[configID(i.Version, ran)]
		again = ran != nil && !bad
	}
	if !again { // a next start is a person's
		record.Refused = map[string]refusal{}
	}
	return again, record.write(i.Layout)
}

// Ran notes that the present instance has been ready for a while: the configuration
// that it was started with is one to fall back on.
func (i *Inspector) Ran() error {
	trying, err := i.Layout.readCopy(copyTrying)
	if err != nil || trying == nil {
		return err
	}
	record, err := readConfigRecord(i.Layout)
	if err != nil {
		return err
	}
	record.Ran = &ranConfig{Version: i.Version, At: i.clock().UTC()}
	delete(record.Refused, configID(i.Version, trying))
	return errors.Join(i.Layout.keepCopy(copyRan, trying), record.write(i.Layout))
}

// ConfigDiff compares the last configuration that ran with the present one. ran is
// when the former was seen to run; zero: none was.
func ConfigDiff(l Layout) (changes []ConfigChange, by Author, ran time.Time, err error) {
	record, err := readConfigRecord(l)
	if err != nil {
		return nil, "", ran, err
	}
	old, err := l.readCopy(copyRan)
	if err != nil || old == nil || record.Ran == nil {
		return nil, "", ran, err
	}
	now, path := l.present()
	changes = DiffConfig(old, now)
	if len(changes) > 0 {
		by = authorOf(path, old)
		if trying, err := l.readCopy(copySeen); err == nil && trying != nil && configID("", trying) == configID("", now) && by == ByPerson {
			by = ByCreel // as creel has left it
		}
	}
	return changes, by, record.Ran.At, nil
}
