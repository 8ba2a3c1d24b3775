package access

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

// AccountFlags say which store an account is in, and what opens the account.
type AccountFlags struct {
	Flags
	RecoveryFile string
}

func (f *AccountFlags) Add(fs *flag.FlagSet) {
	f.Flags.Add(fs)
	fs.StringVar(&f.RecoveryFile, "recovery-file", "", "a `file` with the account's recovery identity, in place of its password")
}

// With opens the store, as a mode says, and the account, does something, and closes
// both.
func (f *AccountFlags) With(ctx context.Context, p *cli.Program, mode Mode, name string, do func(*mailbox.Account) error) error {
	s, err := f.Open(ctx, p, mode, nil)
	if err != nil {
		return err
	}
	a, err := openAccount(ctx, p, s.Store, name, f.RecoveryFile)
	if err != nil {
		return errors.Join(Named(name, err), s.Close())
	}
	return errors.Join(do(a), a.Close(), s.Close())
}

// Named says which account an error is about.
func Named(name string, err error) error {
	switch {
	case errors.Is(err, mailbox.ErrAuth):
		return fmt.Errorf("account %s: wrong password", name)
	case errors.Is(err, mailbox.ErrSwappedKey):
		// It cannot be known which. With a right identity or password it is the
		// worse of the two.
		return fmt.Errorf("account %s: the identity is another account's, or somebody put another delivery key into the store", name)
	}
	return fmt.Errorf("account %s: %w", name, err)
}

const (
	PasswordHelp = `The account's password is asked for at the terminal, or read from the first
line of standard input if that is no terminal. -recovery-file stands in for it.`

	NameHelp = `NAME is "user" or "user@domain", in any case. Mail for user@domain goes to the
account of that name if there is one, else to the account "user".`
)
