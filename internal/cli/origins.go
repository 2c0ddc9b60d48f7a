package cli

import (
	"sync"

	"creel/internal/config"
)

// origins remembers where the values of the configurations that were read last
// come from: one that is read again may yet be refused.
type origins struct {
	mu   sync.Mutex
	last []origin
}

type origin struct {
	cfg     *config.Config
	sources *config.Sources
}

// mostOrigins: reloads come one after the other, so that the one in force is among
// the last two.
const mostOrigins = 4

func (o *origins) keep(cfg *config.Config, sources *config.Sources) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last = append(o.last, origin{cfg, sources}); len(o.last) > mostOrigins {
		o.last = o.last[1:]
	}
}

// of gives the sources of a configuration that was read; nil: it was too long ago.
func (o *origins) of(cfg *config.Config) *config.Sources {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, known := range o.last {
		if known.cfg == cfg {
			return known.sources
		}
	}
	return nil
}
