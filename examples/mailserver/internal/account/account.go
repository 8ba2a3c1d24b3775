// Package account has the commands about accounts: passwords, tokens, identities,
// quotas, folders, and the log.
package account

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

// Commands returns the commands about accounts, in the order of the overview.
func Commands() []cli.Command {
	return []cli.Command{
		accountAddCommand(),
		accountPasswdCommand(),
		accountListCommand(),
		accountRenameCommand(),
		accountQuotaCommand(),
		accountStatsCommand(),
		accountRecoveryCommand(),
		accountRotateCommand(),
		accountRemoveCommand(),
		tokenAddCommand(),
		tokenListCommand(),
		tokenRevokeCommand(),
		folderListCommand(),
		logShowCommand(),
	}
}

func accountAddCommand() cli.Command {
	return cli.Command{
		Name: "account add", Args: []string{"NAME"}, About: "make an account",
		Text: `Makes an account with an empty INBOX. Its password is asked for twice at the
terminal, or read from the first line of standard input if that is no terminal.
The store is made if the folder is missing or empty.

` + access.NameHelp + `

There is no way back to the mails of a lost password but the recovery identity
("account recovery"): print it, and keep it where paper is kept.

` + access.ServerKeyHelp,
		Examples: []string{"mailserver account add ann@example.org -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.Flags
			f.Add(fs)
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return addAccount(ctx, p, &f, names[0])
			}
		},
	}
}

func addAccount(ctx context.Context, p *cli.Program, f *access.Flags, name string) error {
	if err := checkAccountName(name); err != nil {
		return err
	}
	s, err := f.Open(ctx, p, access.MayCreate, nil)
	if err != nil {
		return err
	}
	create := func() error {
		if s.Made {
			fmt.Fprintf(p.Out, "made a new store: %s\n", f.Where())
		}
		switch err := s.Lookup(ctx, name); {
		case err == nil:
			return mailbox.ErrAccountExists // said before anybody types a password
		case !errors.Is(err, mailbox.ErrNoAccount):
			return err
		}
		password, err := p.NewPassword(ctx, "Password")
		if err != nil {
			return err
		}
		return s.CreateAccount(ctx, name, password)
	}
	if err := create(); err != nil {
		return errors.Join(access.Named(name, err), s.Close())
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

func accountPasswdCommand() cli.Command {
	return cli.Command{
		Name: "account passwd", Args: []string{"NAME"}, About: "change an account's password",
		Text: `Replaces the account's password. The old and the new one are asked for at the
terminal, or read from the first two lines of standard input if that is no
terminal. Mails are not encrypted again, tokens and open sessions go on.

With -recovery-file the old password is not asked for: this is how a lost one is
replaced.`,
		Examples: []string{"mailserver account passwd ann -store ./mail", "mailserver account passwd ann -store ./mail -recovery-file ann.key"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.With(ctx, p, access.Change, names[0], func(a *mailbox.Account) error {
					password, err := p.NewPassword(ctx, "New password")
					if err != nil {
						return err
					}
					return a.SetPassword(ctx, password)
				})
			}
		},
	}
}

func accountRecoveryCommand() cli.Command {
	return cli.Command{
		Name: "account recovery", Args: []string{"NAME"}, About: "print an account's recovery identity",
		Text: `Prints the account's identity, AGE-SECRET-KEY-PQ-1..., on standard output. It
opens the account when password and tokens are lost (-recovery-file of the other
commands), and the age tool, version 1.3 or later (Debian 12 has an older one:
go install filippo.io/age/cmd/age@latest), opens every message of the account
with it: each file acct/*/body/* of the store is a plain age file.

Whoever has it has the account. Keep it on paper, not on this machine.

After "account rotate" the identities before are needed for the age tool to open
the messages of their time: -all prints them too, each on its line, the newest
first. They do not open the account.

` + access.PasswordHelp,
		Examples: []string{"mailserver account recovery ann -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			all := fs.Bool("all", false, "print the identities that the account had before, too")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.With(ctx, p, access.Read, names[0], func(a *mailbox.Account) error {
					identity, err := a.Recovery()
					if err != nil {
						return err
					}
					if _, err = fmt.Fprintln(p.Out, identity); err != nil || !*all {
						return err
					}
					before, err := a.Retired()
					if err == nil && len(before) > 0 {
						_, err = fmt.Fprintln(p.Out, strings.Join(before, "\n"))
					}
					return err
				})
			}
		},
	}
}

func accountListCommand() cli.Command {
	return cli.Command{
		Name: "account list", About: "list the accounts' names",
		Text: `Prints the names of all accounts, sorted, one on a line; with -json as an array
of strings. It needs the key of the names, and leaves out accounts that were made
without it or with another one.

` + access.ServerKeyHelp,
		Examples: []string{"mailserver account list -store ./mail -json"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.Flags
			f.Add(fs)
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, _ []string) error {
				return listAccounts(ctx, p, &f, *asJSON)
			}
		},
	}
}

func listAccounts(ctx context.Context, p *cli.Program, f *access.Flags, asJSON bool) error {
	s, err := f.Open(ctx, p, access.Read, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	names := []string{} // JSON's [], not null
	for name, err := range s.Accounts(ctx) {
		if errors.Is(err, mailbox.ErrServerKey) {
			return errors.New("the accounts cannot be listed: there is no server key (see account list -h)")
		}
		if err != nil {
			return err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if asJSON {
		return json.NewEncoder(p.Out).Encode(names)
	}
	for _, name := range names {
		if _, err := fmt.Fprintln(p.Out, name); err != nil {
			return err
		}
	}
	return nil
}
