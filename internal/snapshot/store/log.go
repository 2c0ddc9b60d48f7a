package store

import (
	"context"
	"log/slog"

	"github.com/kopia/kopia/repo/logging"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// withLogger sends what kopia logs under ctx to l, as details: what is worth a
// person's attention comes back as an error, and creel says it in its own words.
func withLogger(ctx context.Context, l *slog.Logger) context.Context {
	if l == nil {
		return logging.WithLogger(ctx, nil)
	}
	return logging.WithLogger(ctx, func(module string) logging.Logger {
		return zap.New(&slogCore{log: l.With("module", module)}).Sugar()
	})
}

// slogCore writes zap's entries to slog, which redacts them.
type slogCore struct{ log *slog.Logger }

func (c *slogCore) Enabled(level zapcore.Level) bool {
	return level >= zapcore.InfoLevel && c.log.Enabled(context.Background(), slog.LevelDebug)
}

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{log: slog.New(c.log.Handler().WithAttrs(attrs(fields)))}
}

func (c *slogCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.LogAttrs(context.Background(), slog.LevelDebug, e.Message, append(attrs(fields), slog.String("kopia", e.Level.String()))...)
	return nil
}

func (*slogCore) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	m := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(m)
	}
	out := make([]slog.Attr, 0, len(m.Fields)+1)
	for k, v := range m.Fields {
		out = append(out, slog.Any(k, v))
	}
	return out
}
