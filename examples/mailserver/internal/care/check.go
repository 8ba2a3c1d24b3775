// Package care has the commands that look after a store: check, repair, garbage
// collection, backup and restore.
package care

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

// Commands returns the commands that look after a store.
func Commands() []cli.Command {
	return append([]cli.Command{checkCommand(), gcCommand(), backupCommand(), restoreCommand()}, keyCommands()...)
}

type checkFlags struct {
	access.AccountFlags
	account  string
	headFile string
	repair   bool
	asJSON   bool
}

func checkCommand() cli.Command {
	return cli.Command{
		Name: "check", About: "look for damage in a store",
		Text: `Reads the store and reports everything that is wrong. It writes nothing to the
store without -repair, continues after each problem, and may run while the store
is served.

Without a password it checks what needs none: that every object belongs where it
is, and that no entry is missing from, or added to, the middle of an account's
log. With -account it then opens that account and checks everything in it: each
entry, page and body, to the last byte. The account's password is asked for at
the terminal, or read from the first line of standard input if that is no
terminal. -recovery-file stands in for it. It says which messages are lost, by
mailbox and UID. An account that is too damaged to be opened is checked as far as
its log can be read.

With -head-file the end of every log is compared with what an earlier check found,
so that an older copy of the store in the place of the newer is noticed. Keep the
file where the store is not. If nothing is wrong the file is written anew; it is
made if it is missing. After "account remove" take the account's line out.

With -account and -repair it then repairs what can be repaired without loss: it
rebuilds a damaged snapshot from an older one and the log, and deletes garbage, as
"gc" does.

A problem marked "harmless" costs nothing but space, such as what a process left
behind that was killed. Only others make the exit status 1.

With -json, one object: ok, store and account (counts of what was looked at, as
far as it was), problems (an array of objects with object, error, harmless and,
where messages are lost, lost: mailbox, first_uid, last_uid, messages, part), and
after -repair repaired (rebuilt, removed).`,
		Examples: []string{"mailserver check -store ./mail", "mailserver check -store ./mail -account ann -json"},
		Setup: func(flags *flag.FlagSet) cli.Action {
			var f checkFlags
			f.Add(flags)
			flags.StringVar(&f.account, "account", "", "check everything of the account `NAME`")
			flags.BoolVar(&f.asJSON, "json", false, "print JSON")
			flags.StringVar(&f.headFile, "head-file", "", "compare with the heads in a `file`, and keep the new ones there")
			flags.BoolVar(&f.repair, "repair", false, "repair what can be repaired without loss")
			return func(ctx context.Context, p *cli.Program, _ []string) error {
				if f.RecoveryFile != "" && f.account == "" {
					return cli.Usagef("-recovery-file without -account")
				}
				if f.repair && f.account == "" {
					return cli.Usagef("-repair without -account")
				}
				return f.check(ctx, p)
			}
		},
	}
}

// finding is a problem as it is printed.
type finding struct {
	Object   string `json:"object"`
	Error    string `json:"error"`
	Harmless bool   `json:"harmless"`
	Lost     *loss  `json:"lost,omitempty"`
}

// loss is what of a mailbox is lost, as it is printed.
type loss struct {
	Mailbox  mailbox.MailboxID `json:"mailbox"`
	First    mailbox.UID       `json:"first_uid"`
	Last     mailbox.UID       `json:"last_uid"`
	Messages int               `json:"messages"`
	Part     mailbox.LossPart  `json:"part"`
}

// counts are what was looked at, as it is printed.
type counts struct {
	Accounts int   `json:"accounts,omitempty"`
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Messages *int  `json:"messages,omitempty"` // of an account only
	Lost     int   `json:"lost,omitempty"`
}

type repaired struct {
	Rebuilt bool `json:"rebuilt"`
	Removed int  `json:"removed"`
}

// result is what a check found, as it is printed.
type result struct {
	OK       bool      `json:"ok"`
	Store    *counts   `json:"store"`
	Account  *counts   `json:"account,omitempty"`
	Problems []finding `json:"problems"`
	Repaired *repaired `json:"repaired,omitempty"`

	damage int             // problems that are not harmless
	known  map[string]bool // what both checks see
	heads  mailbox.Heads
}

func (f *checkFlags) check(ctx context.Context, p *cli.Program) (err error) {
	seen, err := readHeads(f.headFile)
	if err != nil {
		return err
	}
	s, err := f.Open(ctx, p, f.mode(), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var key *access.AccountKey
	if f.account != "" {
		if key, err = access.KeyOf(ctx, p, s.Store, f.account, f.RecoveryFile); err != nil {
			return access.Named(f.account, err)
		}
		defer key.Wipe()
	}
	res := newResult()
	if err := res.run(ctx, s.Store, key, seen); err != nil {
		return err
	}
	if f.repair {
		if err := res.repair(ctx, s.Store, key); err != nil {
			return access.Named(f.account, err)
		}
	}
	if res.OK && f.headFile != "" {
		if err := writeHeads(f.headFile, res.heads); err != nil {
			return err
		}
	}
	if f.asJSON {
		err = json.NewEncoder(p.Out).Encode(res)
	} else {
		err = res.print(p.Out)
	}
	if err == nil && res.damage > 0 {
		err = fmt.Errorf("problems found: %d", res.damage)
	}
	return err
}

// mode says whether anything is repaired.
func (f *checkFlags) mode() access.Mode {
	if f.repair {
		return access.Change
	}
	return access.Read
}

func newResult() *result {
	return &result{Problems: []finding{}, known: map[string]bool{}} // JSON's [], not null
}

// add takes every problem.
func (r *result) add(p mailbox.Problem) {
	found := finding{Object: p.Object, Error: p.String(), Harmless: p.Harmless}
	if p.Lost != nil {
		found.Lost = &loss{p.Lost.Mailbox, p.Lost.First, p.Lost.Last, p.Lost.Messages, p.Lost.Part}
	}
	if r.known[found.Object+found.Error] {
		return // both checks see some of them
	}
	r.known[found.Object+found.Error] = true
	r.Problems = append(r.Problems, found)
	if !p.Harmless {
		r.damage++
	}
}

// run checks the store, and an account if key is not nil: that first, so that a
// wrong password is said before the long work.
func (r *result) run(ctx context.Context, s *mailbox.Store, key *access.AccountKey, seen mailbox.Heads) error {
	if key != nil {
		rep, err := key.Check(ctx, s, r.add)
		switch {
		case err == nil:
			r.Account = &counts{Objects: rep.Objects, Bytes: rep.Bytes, Messages: &rep.Messages, Lost: rep.Lost}
		case damaged(err):
			shut := fmt.Errorf("cannot be opened, and its mails were not checked: %w", err)
			r.add(mailbox.Problem{Object: key.Name, Err: access.Named(key.Name, shut)})
		default:
			return access.Named(key.Name, err)
		}
	}
	rep, err := s.CheckSeen(ctx, seen, r.add)
	if err != nil {
		return err
	}
	r.Store = &counts{Accounts: rep.Accounts, Objects: rep.Objects, Bytes: rep.Bytes}
	r.heads, r.OK = rep.Heads, r.damage == 0
	return nil
}

// damaged reports whether an account's secret could not be used because of what is
// wrong in the store.
func damaged(err error) bool {
	for _, is := range []error{eventlog.ErrCorrupt, eventlog.ErrRolledBack, eventlog.ErrNewerVersion, crypto.ErrDecrypt, fs.ErrNotExist} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func (r *result) repair(ctx context.Context, s *mailbox.Store, key *access.AccountKey) error {
	a, err := key.Open(ctx, s)
	if err != nil {
		return err
	}
	rep, err := a.Repair(ctx)
	r.Repaired = &repaired{rep.Rebuilt, rep.Removed}
	return errors.Join(err, a.Close())
}

func (r *result) print(w io.Writer) error {
	for _, f := range r.Problems {
		kind := "problem "
		if f.Harmless {
			kind = "harmless"
		}
		if _, err := fmt.Fprintf(w, "%s  %s\n", kind, f.Error); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "store: %d accounts, %d objects, %d bytes\n", r.Store.Accounts, r.Store.Objects, r.Store.Bytes)
	if err == nil && r.Account != nil {
		_, err = fmt.Fprintf(w, "account: %d messages, %d objects, %d bytes, all read\n", *r.Account.Messages, r.Account.Objects, r.Account.Bytes)
	}
	if err == nil && r.Account != nil && r.Account.Lost > 0 {
		_, err = fmt.Fprintf(w, "lost: %d messages, which are named above; all others were read whole\n", r.Account.Lost)
	}
	if err == nil && r.Repaired != nil {
		_, err = fmt.Fprintf(w, "repaired: snapshot made anew: %v, damaged snapshots removed: %d\n", r.Repaired.Rebuilt, r.Repaired.Removed)
	}
	if err == nil && r.OK {
		_, err = fmt.Fprintln(w, "no damage found")
	}
	return err
}

// readHeads reads the file of an earlier check; nil if there is none.
func readHeads(file string) (mailbox.Heads, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("head file: %w", err)
	}
	defer f.Close()
	heads, err := mailbox.ReadHeads(f)
	if err != nil {
		return nil, fmt.Errorf("head file %s: %w", file, err)
	}
	return heads, nil
}

// writeHeads puts a new file in the place of the old one.
func writeHeads(file string, heads mailbox.Heads) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("head file: %w", err)
	}
	_, err = heads.WriteTo(temp)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("head file: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}
