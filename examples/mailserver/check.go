package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox"
)

type checkFlags struct {
	accountFlags
	account string
	asJSON  bool
}

func checkCommand() command {
	return command{
		name: "check", about: "look for damage in a store",
		text: `Reads the store and names everything that is not as it must be. It never writes
mail or repairs, goes on past what it finds, and may run while the store is served.

Without a password it checks what needs none: that every object belongs where it
is, and that no entry is missing from, or added to, the middle of an account's
log. With -account it then opens that account and checks everything in it: each
entry, page and body, to the last byte. The account's password is asked for at
the terminal, or read from the first line of standard input if that is no
terminal. -recovery-file stands in for it.

A problem marked "harmless" costs nothing but space, such as what a process left
behind that was killed. Only others make the exit status 1.

With -json, one object: ok, store and account (counts of what was looked at, as
far as it was), problems (an array of objects with object, error and harmless).`,
		examples: []string{"mailserver check -store ./mail", "mailserver check -store ./mail -account ann -json"},
		setup: func(fs *flag.FlagSet) action {
			var f checkFlags
			f.add(fs)
			fs.StringVar(&f.account, "account", "", "check everything of the account `NAME`")
			fs.BoolVar(&f.asJSON, "json", false, "print JSON")
			return func(ctx context.Context, p *program, _ []string) error {
				if f.recoveryFile != "" && f.account == "" {
					return usagef("-recovery-file without -account")
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
}

// counts are what was looked at, as it is printed.
type counts struct {
	Accounts int   `json:"accounts,omitempty"`
	Objects  int   `json:"objects"`
	Bytes    int64 `json:"bytes"`
	Messages *int  `json:"messages,omitempty"` // of an account only
}

// result is what a check found, as it is printed.
type result struct {
	OK       bool      `json:"ok"`
	Store    *counts   `json:"store"`
	Account  *counts   `json:"account,omitempty"`
	Problems []finding `json:"problems"`
}

func (f *checkFlags) check(ctx context.Context, p *program) (err error) {
	s, err := f.open(ctx, p, mustExist, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var a *mailbox.Account
	var shut error // why the account's own check is left out
	if f.account != "" {
		// A wrong password is said before the long work, and so is a wrong file.
		if f.recoveryFile != "" {
			id, err := readIdentity(f.recoveryFile)
			if err != nil {
				return named(f.account, err)
			}
			id.Wipe()
		}
		a, err = p.open(ctx, s.Store, f.account, f.recoveryFile)
		switch {
		case err == nil:
			defer a.Close()
		case damaged(err):
			shut = fmt.Errorf("cannot be opened, and its mails were not checked: %w", err)
		default:
			return named(f.account, err)
		}
	}
	res, damage, err := run(ctx, s.Store, a)
	if err == nil && shut != nil {
		res.add(finding{Object: f.account, Error: named(f.account, shut).Error()})
		damage++
	}
	if err != nil {
		return err
	}
	if f.asJSON {
		err = json.NewEncoder(p.out).Encode(res)
	} else {
		err = res.print(p.out)
	}
	if err == nil && damage > 0 {
		err = fmt.Errorf("problems found: %d", damage)
	}
	return err
}

// damaged reports whether an account was not opened because of what is wrong in
// the store.
func damaged(err error) bool {
	for _, is := range []error{eventlog.ErrCorrupt, eventlog.ErrRolledBack, eventlog.ErrNewerVersion, crypto.ErrDecrypt, fs.ErrNotExist} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// add adds a finding that is no harmless one.
func (r *result) add(f finding) {
	r.Problems, r.OK = append(r.Problems, f), false
}

// run checks the store, and the account unless it is nil. damage is the number of
// problems that are not harmless.
func run(ctx context.Context, s *mailbox.Store, a *mailbox.Account) (res result, damage int, err error) {
	res.Problems = []finding{} // JSON's [], not null
	known := map[finding]bool{}
	report := func(p mailbox.Problem) {
		found := finding{Object: p.Object, Error: p.String(), Harmless: p.Harmless}
		if known[found] {
			return // both checks see some of them
		}
		known[found] = true
		res.Problems = append(res.Problems, found)
		if !p.Harmless {
			damage++
		}
	}
	rep, err := s.Check(ctx, report)
	if err != nil {
		return res, 0, err
	}
	res.Store = &counts{Accounts: rep.Accounts, Objects: rep.Objects, Bytes: rep.Bytes}
	if a != nil {
		if rep, err = a.Check(ctx, report); err != nil {
			return res, 0, err
		}
		res.Account = &counts{Objects: rep.Objects, Bytes: rep.Bytes, Messages: &rep.Messages}
	}
	res.OK = damage == 0
	return res, damage, nil
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
	if err == nil && r.OK {
		_, err = fmt.Fprintln(w, "no damage found")
	}
	return err
}
