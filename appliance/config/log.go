package config

import (
	"errors"
	"io"
	"log/slog"
)

// Log is the [log] section.
type Log struct {
	Level  slog.Level `toml:"level"` // info unless set
	Format LogFormat  `toml:"format"`
}

// LogFormat is how log lines are written.
type LogFormat string

// Formats of log lines.
const (
	FormatText LogFormat = "text" // key=value, for people
	FormatJSON LogFormat = "json" // one object per line, for programs
)

// UnmarshalText accepts the formats there are.
func (f *LogFormat) UnmarshalText(text []byte) error {
	switch got := LogFormat(text); got {
	case FormatText, FormatJSON:
		*f = got
		return nil
	}
	return errors.New("want text or json")
}

// Logger writes to w as the section says.
func (c Log) Logger(w io.Writer) *slog.Logger { return c.LoggerAt(w, c.Level) }

// LoggerAt is Logger with a level that may change.
func (c Log) LoggerAt(w io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if c.Format == FormatJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
