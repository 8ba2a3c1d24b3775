package care

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

type gcFlags struct {
	access.AccountFlags
	account string
	dryRun  bool
	now     bool
	asJSON  bool
}

func gcCommand() cli.Command {
	return cli.Command{
		Name: "gc", About: "erase what nothing needs any more",
		Text: `Erases what nothing needs any more. "serve" does this by itself, once a day for
each account that is in use; this command does it now. It may run while the store
is served, any number of times, and be interrupted.

Without -account it does what needs no password: it erases what is left of removed
accounts, and log entries and snapshots that newer snapshots cover.

With -account it erases what that account does not need: bodies of expunged
messages, superseded pages and metadata, what interrupted calls left behind. Garbage
is marked first, and deleted by the next gc that runs at least a day later; so two
of them, a day apart, leave nothing of an expunged message.

With -now and -account garbage is deleted at once, not a day later: for a disk that is
full. -now states that nobody else uses the account meanwhile: stop the server and the
delivery of mail before. If that is not so, mail that is being delivered may be lost.

The account's password is asked for at the terminal, or read from the first line of
standard input if that is no terminal. -recovery-file stands in for it.

With -dry-run it only says what it would do. With -json, one object: store
(accounts, objects, bytes, trimmed) or account (deleted, deleted_bytes, marked,
marked_bytes, kept, kept_bytes, rewritten, trimmed, more).`,
		Examples: []string{"mailserver gc -store ./mail", "mailserver gc -store ./mail -account ann -dry-run"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f gcFlags
			f.Add(fs)
			fs.StringVar(&f.account, "account", "", "erase what the account `NAME` does not need")
			fs.BoolVar(&f.dryRun, "dry-run", false, "only say what would be done")
			fs.BoolVar(&f.now, "now", false, "delete at once: nobody else uses the account now")
			fs.BoolVar(&f.asJSON, "json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, _ []string) error {
				if f.RecoveryFile != "" && f.account == "" {
					return cli.Usagef("-recovery-file without -account")
				}
				if f.now && f.account == "" {
					return cli.Usagef("-now without -account")
				}
				return f.gc(ctx, p)
			}
		},
	}
}

// swept and collected are what was done, as it is printed.
type swept struct {
	Accounts int   `json:"accounts"`
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Trimmed  int   `json:"trimmed"`
}

type collected struct {
	Deleted      int   `json:"deleted"`
	DeletedBytes int64 `json:"deleted_bytes"`
	Marked       int   `json:"marked"`
	MarkedBytes  int64 `json:"marked_bytes"`
	Kept         int   `json:"kept"`
	KeptBytes    int64 `json:"kept_bytes"`
	Rewritten    int   `json:"rewritten"`
	Trimmed      int   `json:"trimmed"`
	More         bool  `json:"more"`
}

func (f *gcFlags) gc(ctx context.Context, p *cli.Program) error {
	if f.account != "" {
		return f.With(ctx, p, f.mode(), f.account, func(a *mailbox.Account) error { return f.collect(ctx, p, a) })
	}
	s, err := f.Open(ctx, p, f.mode(), nil)
	if err != nil {
		return err
	}
	rep, err := s.Sweep(ctx, mailbox.SweepOptions{DryRun: f.dryRun, Logs: true})
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if f.asJSON {
		return json.NewEncoder(p.Out).Encode(map[string]swept{"store": swept(rep)})
	}
	_, err = fmt.Fprintf(p.Out, "%s: %d objects of %d removed accounts, %d bytes; %d log entries and snapshots\n",
		f.verb(), rep.Objects, rep.Accounts, rep.Bytes, rep.Trimmed)
	return err
}

// mode says whether anything is erased.
func (f *gcFlags) mode() access.Mode {
	if f.dryRun {
		return access.Read
	}
	return access.Change
}

func (f *gcFlags) verb() string {
	if f.dryRun {
		return "would be erased"
	}
	return "erased"
}

func (f *gcFlags) collect(ctx context.Context, p *cli.Program, a *mailbox.Account) error {
	rep, err := a.Collect(ctx, mailbox.CollectOptions{DryRun: f.dryRun, Alone: f.now})
	if err != nil {
		return err
	}
	if f.asJSON {
		return json.NewEncoder(p.Out).Encode(map[string]collected{"account": collected(rep)})
	}
	_, err = fmt.Fprintf(p.Out, "%s: %d objects, %d bytes; %d log entries and snapshots\nwait to be erased: %d objects, %d bytes\nkept: %d objects, %d bytes\n",
		f.verb(), rep.Deleted, rep.DeletedBytes, rep.Trimmed, rep.Marked, rep.MarkedBytes, rep.Kept, rep.KeptBytes)
	if err == nil && rep.More {
		_, err = fmt.Fprintln(p.Out, "there is more: run gc again")
	}
	return err
}
