package account

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

func accountRotateCommand() cli.Command {
	return cli.Command{
		Name: "account rotate", Args: []string{"NAME"}, About: "give an account a new identity",
		Text: `Gives the account a new identity and prints it, as "account recovery" does. It is
what to do when the old one, or a password or token together with a copy of the
store, may have come to others: they can go on reading what they could read until
now, and nothing that comes.

The old password and a new one, which may be the same, are asked for at the
terminal, or read from the first two lines of standard input if that is no
terminal. With -recovery-file the old password is not asked for. All tokens are
revoked: make new ones. All sessions end and must log in again. Messages are not
encrypted again: they stay readable, with the age tool by the identity of their
time ("account recovery -all").

If it is interrupted, log in once with the new password: that completes it.`,
		Examples: []string{"mailserver account rotate ann -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.With(ctx, p, access.Change, names[0], func(a *mailbox.Account) error {
					password, err := p.NewPassword(ctx, "New password")
					if err != nil {
						return err
					}
					identity, err := a.RotateIdentity(ctx, password)
					if identity != "" { // the account may have it also beside an error
						_, printed := fmt.Fprintln(p.Out, identity)
						err = errors.Join(err, printed)
					}
					return err
				})
			}
		},
	}
}
