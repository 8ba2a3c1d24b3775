package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/mailbox"
)

// accountFlags say which store an account is in, and what opens the account.
type accountFlags struct {
	storeFlags
	recoveryFile string
}

func (f *accountFlags) add(fs *flag.FlagSet) {
	f.storeFlags.add(fs)
	fs.StringVar(&f.recoveryFile, "recovery-file", "", "a `file` with the account's recovery identity, in place of its password")
}

// with opens the store and the account, does something, and closes both.
func (f *accountFlags) with(ctx context.Context, p *program, name string, do func(*mailbox.Account) error) error {
	s, err := f.open(ctx, p, mustExist, nil)
	if err != nil {
		return err
	}
	a, err := p.open(ctx, s.Store, name, f.recoveryFile)
	if err != nil {
		return errors.Join(named(name, err), s.Close())
	}
	return errors.Join(do(a), a.Close(), s.Close())
}

// named says which account an error is about.
func named(name string, err error) error {
	switch {
	case errors.Is(err, mailbox.ErrAuth):
		return fmt.Errorf("account %s: wrong password", name)
	case errors.Is(err, mailbox.ErrSwappedKey):
		// It cannot be told which; with a right identity or password it is the
		// worse of the two.
		return fmt.Errorf("account %s: the identity is another account's, or somebody put another delivery key into the store", name)
	}
	return fmt.Errorf("account %s: %w", name, err)
}

const (
	passwordHelp = `The account's password is asked for at the terminal, or read from the first
line of standard input if that is no terminal. -recovery-file stands in for it.`

	nameHelp = `NAME is "user" or "user@domain", in any case. Mail for user@domain goes to the
account of that name if there is one, else to the account "user".`
)

func accountAddCommand() command {
	return command{
		name: "account add", args: []string{"NAME"}, about: "make an account",
		text: `Makes an account with an empty INBOX. Its password is asked for twice at the
terminal, or read from the first line of standard input if that is no terminal.
The store is made if the folder is missing or empty.

` + nameHelp + `

There is no way back to the mails of a lost password but the recovery identity
("account recovery"): print it, and keep it where paper is kept.

` + nameKeyHelp,
		examples: []string{"mailserver account add ann@example.org -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f storeFlags
			f.add(fs)
			return func(ctx context.Context, p *program, names []string) error {
				return addAccount(ctx, p, &f, names[0])
			}
		},
	}
}

func addAccount(ctx context.Context, p *program, f *storeFlags, name string) error {
	if err := checkAccountName(name); err != nil {
		return err
	}
	s, err := f.open(ctx, p, mayCreate, nil)
	if err != nil {
		return err
	}
	create := func() error {
		switch err := s.Lookup(ctx, name); {
		case err == nil:
			return mailbox.ErrAccountExists // said before anybody types a password
		case !errors.Is(err, mailbox.ErrNoAccount):
			return err
		}
		password, err := p.newPassword(ctx, "Password")
		if err != nil {
			return err
		}
		return s.CreateAccount(ctx, name, password)
	}
	if err := create(); err != nil {
		return errors.Join(named(name, err), s.Close())
	}
	return s.Close()
}

// checkAccountName refuses what the store would take but no address can have.
func checkAccountName(name string) error {
	if _, err := mailbox.CanonicalAccount(name); err != nil {
		return err
	}
	user, domain, at := strings.Cut(name, "@")
	if user == "" || at && domain == "" || strings.Contains(domain, "@") {
		return fmt.Errorf(`%w: want "user" or "user@domain"`, mailbox.ErrBadName)
	}
	return nil
}

func accountPasswdCommand() command {
	return command{
		name: "account passwd", args: []string{"NAME"}, about: "change an account's password",
		text: `Replaces the account's password. The old and the new one are asked for at the
terminal, or read from the first two lines of standard input if that is no
terminal. Mails are not encrypted again, tokens and open sessions go on.

With -recovery-file the old password is not asked for: this is how a lost one is
replaced.`,
		examples: []string{"mailserver account passwd ann -store ./mail", "mailserver account passwd ann -store ./mail -recovery-file ann.key"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			return func(ctx context.Context, p *program, names []string) error {
				return f.with(ctx, p, names[0], func(a *mailbox.Account) error {
					password, err := p.newPassword(ctx, "New password")
					if err != nil {
						return err
					}
					return a.SetPassword(ctx, password)
				})
			}
		},
	}
}

func accountRecoveryCommand() command {
	return command{
		name: "account recovery", args: []string{"NAME"}, about: "print an account's recovery identity",
		text: `Prints the account's identity, AGE-SECRET-KEY-PQ-1..., on standard output. It
opens the account when password and tokens are lost (-recovery-file of the other
commands), and the age tool, version 1.3 or later (Debian 12 has an older one:
go install filippo.io/age/cmd/age@latest), opens every message of the account
with it: each file acct/*/body/* of the store is a plain age file.

Whoever has it has the account. Keep it on paper, not on this machine.

After "account rotate" the identities before are needed for the age tool to open
the messages of their time: -all prints them too, each on its line, the newest
first. They do not open the account.

` + passwordHelp,
		examples: []string{"mailserver account recovery ann -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			all := fs.Bool("all", false, "print the identities that the account had before, too")
			return func(ctx context.Context, p *program, names []string) error {
				return f.with(ctx, p, names[0], func(a *mailbox.Account) error {
					identity, err := a.Recovery()
					if err != nil {
						return err
					}
					if _, err = fmt.Fprintln(p.out, identity); err != nil || !*all {
						return err
					}
					before, err := a.Retired()
					if err == nil && len(before) > 0 {
						_, err = fmt.Fprintln(p.out, strings.Join(before, "\n"))
					}
					return err
				})
			}
		},
	}
}

func accountListCommand() command {
	return command{
		name: "account list", about: "list the accounts' names",
		text: `Prints the names of all accounts, sorted, one on a line; with -json as an array
of strings. It needs the key of the names, and leaves out accounts that were made
without it or with another one.

` + nameKeyHelp,
		examples: []string{"mailserver account list -store ./mail -json"},
		setup: func(fs *flag.FlagSet) action {
			var f storeFlags
			f.add(fs)
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *program, _ []string) error {
				return listAccounts(ctx, p, &f, *asJSON)
			}
		},
	}
}

func listAccounts(ctx context.Context, p *program, f *storeFlags, asJSON bool) error {
	s, err := f.open(ctx, p, mustExist, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	names := []string{} // JSON's [], not null
	for name, err := range s.Accounts(ctx) {
		if errors.Is(err, mailbox.ErrNoNameKey) {
			return errors.New("there is no key of account names, so they cannot be listed (account list -h tells more)")
		}
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if asJSON {
		return json.NewEncoder(p.out).Encode(names)
	}
	for _, name := range names {
		if _, err := fmt.Fprintln(p.out, name); err != nil {
			return err
		}
	}
	return nil
}
