package proxy

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"creel/internal/config"
)

const (
	// maxStreams is how many requests one HTTP/2 connection may have under way:
	// what RFC 9113 §6.5.2 recommends not to go below, with some room.
	maxStreams = 256
	// pingTimeout is how long a client may take to answer an HTTP/2 ping.
	pingTimeout = 15 * time.Second
)

// Server makes the server that clients connect to. It speaks HTTP/1.1 and
// HTTP/2, in the clear by prior knowledge (h2c) and over TLS, and bounds each
// phase of a connection: the head of a request by its time and its size, the
// time between two requests; the proxy itself bounds bodies, in either
// direction. ReadTimeout and WriteTimeout are left out on purpose: they bound
// a request as a whole, and streams have no length.
//
// What the server has to say of its clients goes to log, at level debug: anyone
// can make it say things.
func Server(cfg config.Proxy, h http.Handler, log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           closeOld(h),
		ReadHeaderTimeout: cfg.Timeouts.RequestHeader,
		IdleTimeout:       cfg.Timeouts.Idle,
		MaxHeaderBytes:    cfg.MaxHeaderBytes,
		Protocols:         &protocols,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxStreams,
			SendPingTimeout:      cfg.Timeouts.Idle, // finds clients that are gone while their requests wait
			PingTimeout:          pingTimeout,
			WriteByteTimeout:     cfg.Timeouts.WriteIdle,
		},
		// "OPTIONS *" is the gateway's to answer.
		DisableGeneralOptionsHandler: true,
		ConnContext:                  connContext,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// closeOld ends the connection of an HTTP/1.0 client with the answer, as RFC 9112
// §9.3 wants of a proxy. net/http drops a Transfer-Encoding of theirs without a word,
// so that what a sender meant for the body would be the next request (§6.1).
func closeOld(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !r.ProtoAtLeast(1, 1) {
			w.Header()["Connection"] = []string{"close"}
		}
		h.ServeHTTP(w, r)
	})
}

// connKey is the key of a client's connection in a request's context.
type connKey struct{}

// connContext keeps a client's connection where an abort finds it.
func connContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}
