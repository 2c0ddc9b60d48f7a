package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Server serves a Proxy to a gateway.
type Server struct {
	http     *http.Server
	listener net.Listener
	cut      context.CancelCauseFunc // ends calls under way
}

// The bounds of a gateway's connection. What comes after the head, and answers, are
// not bounded.
const (
	headTime = 10 * time.Second
	keepTime = 2 * time.Minute
	maxHead  = 256 << 10
	cutTime  = 2 * time.Second
)

// NewServer makes a server that takes over l.
func NewServer(l net.Listener, p *Proxy, log *slog.Logger) *Server {
	ctx, cut := context.WithCancelCause(context.Background())
	s := &Server{listener: l, cut: cut}
	s.http = &http.Server{
		Handler: p, ReadHeaderTimeout: headTime, IdleTimeout: keepTime, MaxHeaderBytes: maxHead,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Listener is what the server accepts connections from, to be handed over.
func (s *Server) Listener() net.Listener { return s.listener }

// Serve serves until Shutdown or Close; that is no error.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("cannot serve on %s: %w", s.listener.Addr(), err)
	}
	return nil
}

// errCut ends calls that creel has no more time for.
var errCut = errors.New("creel has no more time for this call")

// Shutdown takes no more calls, waits for those under way until ctx ends, and then
// cuts what is left: their answers break off, and do not end like whole ones. It may
// be called again.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	// One that has not served yet does not know its listener.
	if closeErr := s.listener.Close(); !errors.Is(closeErr, net.ErrClosed) && closeErr != nil {
		return fmt.Errorf("cannot close the listener for model providers: %w", closeErr)
	}
	if err == nil {
		return nil
	}
	s.cut(errCut)
	ctx, cancel := context.WithTimeout(context.Background(), cutTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		return s.http.Close()
	}
	return nil
}
