package rpc

import (
	"context"
	"maps"
	"slices"
)

// Account is one login of the gateway to a channel, such as a Telegram bot.
type Account struct {
	Channel    string `json:"-"`
	ID         string `json:"accountId"`
	Enabled    bool   `json:"enabled"`
	Configured bool   `json:"configured"`
	Running    bool   `json:"running"`
	Connected  bool   `json:"connected"`
	LastError  string `json:"lastError"`
}

// Channels lists the accounts of all channels, sorted by channel. It asks no
// channel's provider.
func (c *Client) Channels(ctx context.Context) ([]Account, error) {
	var status struct {
		Accounts map[string][]Account `json:"channelAccounts"`
	}
	if err := c.Call(ctx, "channels.status", nil, &status); err != nil {
		return nil, err
	}
	var list []Account
	for _, channel := range slices.Sorted(maps.Keys(status.Accounts)) {
		for _, a := range status.Accounts[channel] {
			a.Channel = channel
			list = append(list, a)
		}
	}
	return list, nil
}

// ChannelStart is the outcome of StartChannel.
type ChannelStart struct {
	Started bool `json:"started"` // it runs; whether its provider can be reached is another matter
	Outcome struct {
		Status string `json:"status"` // "handed-off", "retry" or "skipped"
		Reason string `json:"reason"`
	} `json:"outcome"`
}

// StartChannel starts one account of a channel, also against the gateway's
// crash-loop breaker. An empty account is the channel's default one.
func (c *Client) StartChannel(ctx context.Context, channel, account string) (ChannelStart, error) {
	var s ChannelStart
	err := c.Call(ctx, "channels.start", struct {
		Channel string `json:"channel"`
		Account string `json:"accountId,omitempty"`
	}{channel, account}, &s)
	return s, err
}
