package rpc

import (
	"context"
	"encoding/json"
)

// Health is the gateway's own judgement.
type Health struct {
	OK      bool `json:"ok"`
	Plugins struct {
		Errors      []json.RawMessage `json:"errors"`
		Unavailable []json.RawMessage `json:"unavailable"`
	} `json:"plugins"`
}

// Health asks the gateway how it is.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var h Health
	err := c.Call(ctx, "health", nil, &h)
	return h, err
}

// Presence is somebody who is connected, or the gateway itself (Mode "gateway").
type Presence struct {
	Host     string `json:"host"`
	IP       string `json:"ip"`
	Platform string `json:"platform"`
	Mode     string `json:"mode"`
	Text     string `json:"text"`
	DeviceID string `json:"deviceId"`
	At       Millis `json:"ts"`
}

// Presence lists who is connected.
func (c *Client) Presence(ctx context.Context) ([]Presence, error) {
	var list []Presence
	err := c.Call(ctx, "system-presence", nil, &list)
	return list, err
}

// Work is what a stop would interrupt, by kind.
type Work struct {
	Counts   map[string]int // such as "embeddedRuns"; of all kinds, 0 as well
	Total    int            // of all that counts
	Blockers []Blocker
}

// Work asks what is under way. The gateway calls the method a preview: it closes
// nothing and promises nothing.
func (c *Client) Work(ctx context.Context) (Work, error) {
	var p struct {
		Counts   map[string]int `json:"counts"`
		Blockers []Blocker      `json:"blockers"`
	}
	if err := c.Call(ctx, "gateway.restart.preflight", nil, &p); err != nil {
		return Work{}, err
	}
	w := Work{Counts: p.Counts, Total: p.Counts["totalActive"], Blockers: p.Blockers}
	delete(w.Counts, "totalActive")
	return w, nil
}

// Job is a scheduled job of the gateway.
type Job struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	NextRun Millis `json:"nextRunAtMs"` // 0: not planned
}

// Jobs lists the scheduled jobs. The earliest NextRun is when a gateway that
// sleeps has to be awake.
func (c *Client) Jobs(ctx context.Context) ([]Job, error) {
	var p struct {
		Jobs []Job `json:"jobs"`
	}
	err := c.Call(ctx, "cron.list", nil, &p)
	return p.Jobs, err
}
