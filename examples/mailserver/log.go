package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"iter"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
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

func logShowCommand() command {
	return command{
		name: "log show", args: []string{"NAME"}, about: "show the entries of an account's log",
		text: `Shows the log of the account NAME, an entry on each line: its position, its kind
("owned" was written with the account's keys, "delivered" without), and its bytes.
This needs no password, and is what anybody can tell who holds the store. What
snapshots cover is trimmed after a day.

With -open the account is opened, and the lines say what each entry did: names of
folders and flags are among it, nothing of a message is.

With -json, an object on each line: position, kind, bytes, with -open events (an
array of strings), and error if the entry is damaged. Damage is gone past; the exit
status is 1 then.

` + passwordHelp,
		examples: []string{"mailserver log show ann -store ./mail -after 1000", "mailserver log show ann -store ./mail -open -json"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			after := fs.Uint64("after", 0, "show only what comes after a `position`")
			open := fs.Bool("open", false, "open the account and show what each entry did")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *program, names []string) error {
				return f.showLog(ctx, p, names[0], eventlog.Position(*after), *open, *asJSON)
			}
		},
	}
}

func (f *accountFlags) showLog(ctx context.Context, p *program, name string, after eventlog.Position, open, asJSON bool) error {
	if open || f.recoveryFile != "" {
		return f.with(ctx, p, name, func(a *mailbox.Account) error {
			return showEntries(p, a.Log(ctx, after), asJSON)
		})
	}
	s, err := f.open(ctx, p, mustExist, nil)
	if err != nil {
		return err
	}
	if err = s.Lookup(ctx, name); err == nil {
		err = showEntries(p, s.Log(ctx, name, after), asJSON)
	} else {
		err = named(name, err)
	}
	return errors.Join(err, s.Close())
}

func showEntries(p *program, entries iter.Seq2[mailbox.LogEntry, error], asJSON bool) error {
	damaged := 0
	lines := json.NewEncoder(p.out)
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
			_, err = fmt.Fprintln(p.out, strings.TrimRight(text, " "))
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
