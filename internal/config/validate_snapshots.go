package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

// snapshots checks where snapshots are kept, and how many.
func (v *validator) snapshots() {
	s := &v.cfg.Snapshots
	if s.FreezeMax < s.Freeze {
		v.refusePair("snapshots.freeze_max", "snapshots.freeze", "must not be less than snapshots.freeze (%s)", formatDuration(s.Freeze))
	}
	if s.ShrinkAlarm < 1 || s.ShrinkAlarm > 100 {
		v.refuse("snapshots.shrink_alarm", "must be from 1 to 100, in percent, not %d", s.ShrinkAlarm)
	}
	for _, k := range []struct {
		name string
		n    int
	}{{"last", s.Keep.Last}, {"hourly", s.Keep.Hourly}, {"daily", s.Keep.Daily}, {"weekly", s.Keep.Weekly}, {"monthly", s.Keep.Monthly}} {
		if k.n < 0 {
			v.refuse("snapshots.keep."+k.name, "must not be negative, not %d", k.n)
		}
	}
	v.store(&s.Store)
	v.owner(s)
}

// ownerReserve is what a stop may take beyond its drain and grace: as package
// owner has it.
const ownerReserve = 10 * time.Second

// owner checks that the gateway can be stopped within the term, with as much of it
// left for a store that pauses: it is renewed after a third, and must be stopped
// from half of it on.
func (v *validator) owner(s *Snapshots) {
	if s.Owner == OwnerOn && s.Mode == SnapshotsOff {
		v.refusePair("snapshots.owner", "snapshots.mode", "the owner is settled by the snapshot store, which snapshots.mode %q does without", s.Mode)
	}
	if s.Owner == OwnerOn && s.Store.Kind != StoreFolder && s.Store.Kind != StoreS3 {
		v.refusePair("snapshots.owner", "snapshots.store.kind", "a store of kind %q cannot settle which machine owns the gateway; choose s3 or folder", clip(s.Store.Kind))
	}
	if !s.Owned() {
		return
	}
	stop := &v.cfg.Gateway.Stop
	if least := 2 * (stop.Drain + stop.Grace + ownerReserve); s.OwnerTerm < least {
		v.refusePair("snapshots.owner_term", "gateway.stop.grace", "must not be less than %s: twice what a stop may take (gateway.stop.drain %s, gateway.stop.grace %s, and %s for creel to notice and the kernel to kill)",
			formatDuration(least), formatDuration(stop.Drain), formatDuration(stop.Grace), formatDuration(ownerReserve))
	}
}

// store checks that a store is said completely, and that nothing is said that
// its kind does not know.
func (v *validator) store(s *Store) {
	knows := func(key, value string, kinds ...string) {
		if value == "" {
			return
		}
		for _, k := range kinds {
			if s.Kind == k {
				return
			}
		}
		v.refusePair("snapshots.store."+key, "snapshots.store.kind", "is of no use to a store of kind %q", clip(s.Kind))
	}
	knows("path", s.Path, StoreFolder)
	knows("bucket", s.Bucket, StoreS3)
	knows("prefix", s.Prefix, StoreS3)
	knows("endpoint", s.Endpoint, StoreS3)
	knows("region", s.Region, StoreS3)
	knows("ca", s.CA, StoreS3)
	for i, o := range s.Options {
		key := fmt.Sprintf("snapshots.store.options[%d]", i)
		if s.Kind == StoreFolder || s.Kind == StoreS3 {
			v.refusePair(key, "snapshots.store.kind", "is of no use to a store of kind %q", clip(s.Kind))
		} else if name, _, ok := strings.Cut(o, "="); !ok || name == "" {
			v.refuse(key, "must be name=value, not %s", clip(o))
		}
	}
	for i, dir := range v.cfg.Gateway.State {
		if s.Kind == StoreFolder && s.Path != "" && dir != "" && isWithin(s.Path, dir) {
			v.refusePair("snapshots.store.path", "gateway.state", "%s is within the state folder %s (number %d), which it is to keep safe", clip(s.Path), clip(dir), i+1)
		}
	}
	if s.Kind != StoreS3 {
		return
	}
	if s.Bucket == "" {
		v.refuse("snapshots.store.bucket", "a store of kind s3 needs a bucket")
	}
	if s.Credentials == "" {
		v.refuse("snapshots.store.credentials", "a store of kind s3 needs a file with access_key_id=… and secret_access_key=…")
	}
	host, plain := strings.CutPrefix(s.Endpoint, "http://")
	host = strings.TrimPrefix(host, "https://")
	if s.Endpoint == "" {
		return
	}
	u, err := url.Parse("https://" + host)
	if err != nil || u.Host != host {
		v.refuse("snapshots.store.endpoint", "%s is no host or host:port", clip(s.Endpoint))
		return
	}
	if ip := net.ParseIP(u.Hostname()); plain && u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		v.refuse("snapshots.store.endpoint", "%s is not on this machine, so it must speak TLS: leave http:// out", clip(s.Endpoint))
	}
}
