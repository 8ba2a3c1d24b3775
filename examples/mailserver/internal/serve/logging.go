package serve

import (
	"flag"
	"io"
	"log/slog"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// logFlags say what is logged, and how.
type logFlags struct {
	format  string
	verbose bool
}

func (f *logFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&f.format, "log-format", "text", "the `format` of the log: text or json")
	fs.BoolVar(&f.verbose, "v", false, "log more")
}

func (f *logFlags) logger(w io.Writer) (*slog.Logger, error) {
	o := &slog.HandlerOptions{}
	if f.verbose {
		o.Level = slog.LevelDebug
	}
	switch f.format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, cli.Usagef("-log-format is text or json, not %q", f.format)
}
