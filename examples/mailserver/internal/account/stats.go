package account

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"text/tabwriter"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

func accountStatsCommand() cli.Command {
	return cli.Command{
		Name: "account stats", Args: []string{"NAME"}, About: "count what an account holds",
		Text: `Counts the account's objects in the store and their bytes: bodies (one for each
message), entries of its log, snapshots, and keys. This needs no password.

With -open the account is opened, and its folders, messages, their size as mail
programs see it, and the garbage are counted too: what the newest state does not
refer to, part of which is kept for a day on purpose.

With -json, one object: objects, bytes, and of each kind bodies, entries, snapshots
and keys an object with objects and bytes; with -open also folders, messages,
message_bytes and garbage.

` + access.PasswordHelp,
		Examples: []string{"mailserver account stats ann -store ./mail -json", "mailserver account stats ann -store ./mail -open"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			open := fs.Bool("open", false, "open the account and count messages and garbage")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				s, err := readStats(ctx, p, &f, names[0], *open)
				if err != nil {
					return err
				}
				return s.print(p, *asJSON)
			}
		},
	}
}

// tally is a number of objects as it is printed.
type tally struct {
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// stats are an account's counts as they are printed.
type stats struct {
	tally
	Bodies    tally `json:"bodies"`
	Entries   tally `json:"entries"`
	Snapshots tally `json:"snapshots"`
	Keys      tally `json:"keys"`

	*OpenStats
}

// OpenStats are those that need the keys.
type OpenStats struct {
	Folders      int   `json:"folders"`
	Messages     int   `json:"messages"`
	MessageBytes int64 `json:"message_bytes"`
	Garbage      tally `json:"garbage"`
}

func statsOf(u mailbox.Usage) stats {
	return stats{
		tally: tally(u.Total), Bodies: tally(u.Bodies), Entries: tally(u.Entries),
		Snapshots: tally(u.Snapshots), Keys: tally(u.Keys),
	}
}

func readStats(ctx context.Context, p *cli.Program, f *access.AccountFlags, name string, open bool) (out stats, err error) {
	if open || f.RecoveryFile != "" {
		err = f.With(ctx, p, access.Read, name, func(a *mailbox.Account) error {
			c, err := a.Contents(ctx)
			out = statsOf(c.Usage)
			out.OpenStats = &OpenStats{Folders: c.Mailboxes, Messages: c.Messages, MessageBytes: c.Size, Garbage: tally(c.Garbage)}
			return err
		})
		return out, err
	}
	s, err := f.Open(ctx, p, access.Read, nil)
	if err != nil {
		return out, err
	}
	u, err := s.Usage(ctx, name)
	if err != nil {
		err = access.Named(name, err)
	}
	return statsOf(u), errors.Join(err, s.Close())
}

func (s *stats) print(p *cli.Program, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(p.Out).Encode(s)
	}
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(what string, t tally) { fmt.Fprintf(w, "%s\t%d objects\t%d bytes\t\n", what, t.Objects, t.Bytes) }
	line("bodies", s.Bodies)
	line("entries", s.Entries)
	line("snapshots", s.Snapshots)
	line("keys", s.Keys)
	line("all", s.tally)
	if s.OpenStats != nil {
		line("garbage", s.Garbage)
		fmt.Fprintf(w, "%d folders\t%d messages\t%d bytes\t\n", s.Folders, s.Messages, s.MessageBytes)
	}
	return w.Flush()
}
