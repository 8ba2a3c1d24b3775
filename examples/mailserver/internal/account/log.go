package account

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

// entryLine is what "log show" tells of an entry.
type entryLine struct {
	Position uint64   `json:"position"`
	Kind     string   `json:"kind,omitempty"`
	Bytes    int64    `json:"bytes"`
	Events   []string `json:"events,omitempty"`
	Error    string   `json:"error,omitempty"`
}

func logShowCommand() cli.Command {
	return cli.Command{
		Name: "log show", Args: []string{"NAME"}, About: "show the entries of an account's log",
		Text: `Shows the log of the account NAME, an entry on each line: its position, its kind
("owned" was written with the account's keys, "delivered" without), and its bytes.
This needs no password, and is what anybody can tell who holds the store. What
snapshots cover is trimmed after a day.

With -open the account is opened, and the lines say what each entry did: names of
folders and flags are among it, nothing of a message is.

With -json, an object on each line: position, kind, bytes, with -open events (an
array of strings), and error if the entry is damaged. It continues after damage; the exit
status is then 1.

` + access.PasswordHelp,
		Examples: []string{"mailserver log show ann -store ./mail -after 1000", "mailserver log show ann -store ./mail -open -json"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			after := fs.Uint64("after", 0, "show only what comes after a `position`")
			open := fs.Bool("open", false, "open the account and show what each entry did")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return showLog(ctx, p, &f, names[0], eventlog.Position(*after), *open, *asJSON)
			}
		},
	}
}

func showLog(ctx context.Context, p *cli.Program, f *access.AccountFlags, name string, after eventlog.Position, open, asJSON bool) error {
	if open || f.RecoveryFile != "" {
		return f.With(ctx, p, access.Read, name, func(a *mailbox.Account) error {
			return showEntries(p, a.Log(ctx, after), asJSON)
		})
	}
	s, err := f.Open(ctx, p, access.Read, nil)
	if err != nil {
		return err
	}
	if err = s.Lookup(ctx, name); err == nil {
		err = showEntries(p, s.Log(ctx, name, after), asJSON)
	} else {
		err = access.Named(name, err)
	}
	return errors.Join(err, s.Close())
}

func showEntries(p *cli.Program, entries iter.Seq2[mailbox.LogEntry, error], asJSON bool) error {
	damaged := 0
	lines := json.NewEncoder(p.Out)
	for e, err := range entries {
		l := entryLine{Position: uint64(e.Pos), Bytes: e.Size, Events: e.Events}
		if e.Kind != 0 {
			l.Kind = e.Kind.String()
		}
		switch {
		case errors.Is(err, eventlog.ErrCorrupt):
			l.Error = err.Error()
			damaged++
		case err != nil:
			return err
		}
		if asJSON {
			err = lines.Encode(l)
		} else {
			text := fmt.Sprintf("%d  %-9s  %d bytes  %s%s", l.Position, l.Kind, l.Bytes, strings.Join(l.Events, "; "), l.Error)
			_, err = fmt.Fprintln(p.Out, strings.TrimRight(text, " "))
		}
		if err != nil {
			return err
		}
	}
	if damaged > 0 {
		return fmt.Errorf("damaged entries: %d", damaged)
	}
	return nil
}
