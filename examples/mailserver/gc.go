package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/letterlock/letterlock/mailbox"
)

type gcFlags struct {
	accountFlags
	account string
	dryRun  bool
	asJSON  bool
}

func gcCommand() command {
	return command{
		name: "gc", about: "erase what nothing needs any more",
		text: `Erases what nothing needs any more. "serve" does this by itself, once a day for
each account that is in use; this command does it now. It may run while the store
is served, any number of times, and be interrupted.

Without -account it does what needs no password: it erases what is left of removed
accounts, and log entries and snapshots that newer snapshots cover.

With -account it erases what that account does not need: bodies of expunged
messages, superseded pages and metadata, what interrupted calls left behind. What
is found is noted first and erased by the next gc that comes at least a day
later; so two of them, a day apart, leave nothing of an expunged message. The
account's password is asked for at the terminal, or read from the first line of
standard input if that is no terminal. -recovery-file stands in for it.

With -dry-run it only tells what it would do. With -json, one object: store
(accounts, objects, bytes, trimmed) or account (deleted, deleted_bytes, noted,
noted_bytes, kept, kept_bytes, rewritten, trimmed, more).`,
		examples: []string{"mailserver gc -store ./mail", "mailserver gc -store ./mail -account ann -dry-run"},
		setup: func(fs *flag.FlagSet) action {
			var f gcFlags
			f.add(fs)
			fs.StringVar(&f.account, "account", "", "erase what the account `NAME` does not need")
			fs.BoolVar(&f.dryRun, "dry-run", false, "only tell what would be done")
			fs.BoolVar(&f.asJSON, "json", false, "print JSON")
			return func(ctx context.Context, p *program, _ []string) error {
				if f.recoveryFile != "" && f.account == "" {
					return usagef("-recovery-file without -account")
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
	Noted        int   `json:"noted"`
	NotedBytes   int64 `json:"noted_bytes"`
	Kept         int   `json:"kept"`
	KeptBytes    int64 `json:"kept_bytes"`
	Rewritten    int   `json:"rewritten"`
	Trimmed      int   `json:"trimmed"`
	More         bool  `json:"more"`
}

func (f *gcFlags) gc(ctx context.Context, p *program) error {
	if f.account != "" {
		return f.with(ctx, p, f.account, func(a *mailbox.Account) error { return f.collect(ctx, p, a) })
	}
	s, err := f.open(ctx, p, mustExist, nil)
	if err != nil {
		return err
	}
	rep, err := s.Sweep(ctx, mailbox.SweepOptions{DryRun: f.dryRun, Logs: true})
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	if f.asJSON {
		return json.NewEncoder(p.out).Encode(map[string]swept{"store": swept(rep)})
	}
	_, err = fmt.Fprintf(p.out, "%s: %d objects of %d removed accounts, %d bytes; %d log entries and snapshots\n",
		f.verb(), rep.Objects, rep.Accounts, rep.Bytes, rep.Trimmed)
	return err
}

func (f *gcFlags) verb() string {
	if f.dryRun {
		return "would be erased"
	}
	return "erased"
}

func (f *gcFlags) collect(ctx context.Context, p *program, a *mailbox.Account) error {
	rep, err := a.Collect(ctx, mailbox.CollectOptions{DryRun: f.dryRun})
	if err != nil {
		return err
	}
	if f.asJSON {
		return json.NewEncoder(p.out).Encode(map[string]collected{"account": collected(rep)})
	}
	_, err = fmt.Fprintf(p.out, "%s: %d objects, %d bytes; %d log entries and snapshots\nwait to be erased: %d objects, %d bytes\nkept: %d objects, %d bytes\n",
		f.verb(), rep.Deleted, rep.DeletedBytes, rep.Trimmed, rep.Noted, rep.NotedBytes, rep.Kept, rep.KeptBytes)
	if err == nil && rep.More {
		_, err = fmt.Fprintln(p.out, "there is more: run gc again")
	}
	return err
}

func accountRemoveCommand() command {
	return command{
		name: "account remove", args: []string{"NAME"}, about: "erase an account and all its mail",
		text: `Erases the account: its name, keys, folders and every message. There is no way
back but a copy of the store. It asks for the account's name once more, at the
terminal or as the first line of standard input, or takes -yes for it. No password
is needed: whoever can write the store can erase it.

Sessions of the account end. Mail that is being delivered to it at this moment may
still be accepted and is erased by "gc" a day later, which "serve" does by itself.
The name can be used again at once.`,
		examples: []string{"mailserver account remove ann -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f storeFlags
			f.add(fs)
			yes := fs.Bool("yes", false, "do not ask")
			return func(ctx context.Context, p *program, names []string) error {
				return removeAccount(ctx, p, &f, names[0], *yes)
			}
		},
	}
}

func removeAccount(ctx context.Context, p *program, f *storeFlags, name string, yes bool) (err error) {
	s, err := f.open(ctx, p, mustExist, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.Lookup(ctx, name); err != nil {
		return named(name, err)
	}
	if !yes {
		if err := p.confirm(ctx, name); err != nil {
			return err
		}
	}
	if err := s.DeleteAccount(ctx, name); err != nil {
		return named(name, err)
	}
	_, err = fmt.Fprintf(p.out, "account %s is erased\n", name)
	return err
}

// confirm asks for a name to be typed.
func (p *program) confirm(ctx context.Context, name string) error {
	if _, ok := p.terminal(); ok {
		fmt.Fprintf(p.err, "Type %s to erase the account and all its mail: ", name)
	}
	line, err := interruptible(ctx, func() ([]byte, error) { return p.line("confirmation") })
	if err != nil {
		return err
	}
	if strings.TrimSpace(string(line)) != name {
		return errors.New("nothing was erased: the name was not repeated")
	}
	return nil
}
