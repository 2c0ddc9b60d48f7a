package daemon

import (
	"context"
	"time"

	"creel/internal/config"
	"creel/internal/health"
	"creel/internal/openclaw"
)

// providerEvery is how often it is looked whether a model provider was chosen: somebody
// who chooses one in the Control UI has creel's pages in another tab.
const providerEvery = 5 * time.Second

// watchProvider keeps the hint that OpenClaw knows no model provider true while the
// gateway runs, until ctx ends: it is given up when one is chosen, and there again in a
// creel that has taken over a gateway which another one has started.
func (o *openClaw) watchProvider(ctx context.Context, b beside) {
	tick := time.NewTicker(providerEvery)
	defer tick.Stop()
	for {
		if b.gateway.Status().Ready() {
			g := o.cfg()
			if environ, err := o.inherited(g); err == nil { // why it cannot be had is the next launch's to say
				o.noteProvider(g, environ)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// noteProvider hints at it if OpenClaw knows no model provider.
func (o *openClaw) noteProvider(g config.Gateway, environ []string) {
	if openclaw.HasProvider(o.layout, append(environ, listOf(g.Env)...)) {
		o.health.Clear(health.Provider)
		return
	}
	o.health.Set(health.Provider, health.Info, "OpenClaw knows no model provider yet, so that its agents cannot answer",
		"choose one in the Control UI, or give creel a key, such as ANTHROPIC_API_KEY (docs/providers.md)")
}
