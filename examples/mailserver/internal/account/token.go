package account

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

func tokenAddCommand() cli.Command {
	return cli.Command{
		Name: "account token add", Args: []string{"NAME"}, About: "make a token for a device",
		Text: `Makes a token and prints it on standard output, once. A mail program takes it in
place of the password. Each device should have its own: it can be revoked alone,
and logging in with it costs the server next to nothing.

` + access.PasswordHelp,
		Examples: []string{"mailserver account token add ann -label phone -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			label := fs.String("label", "", "a `text` to tell tokens apart by, at most 127 bytes; it is kept encrypted")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.With(ctx, p, access.Change, names[0], func(a *mailbox.Account) error {
					token, err := a.AddToken(ctx, *label)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintln(p.Out, token.Export())
					return err
				})
			}
		},
	}
}

// tokenLine is what "account token list" tells of a token.
type tokenLine struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Label   string    `json:"label"`
}

func tokenListCommand() cli.Command {
	return cli.Command{
		Name: "account token list", Args: []string{"NAME"}, About: "list an account's tokens",
		Text: `Lists the account's tokens, oldest first: ID, when it was made, label. The tokens
themselves are kept nowhere. With -json, an array of objects with the members id,
created and label.

` + access.PasswordHelp,
		Examples: []string{"mailserver account token list ann -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.With(ctx, p, access.Read, names[0], func(a *mailbox.Account) error {
					return listTokens(ctx, p, a, *asJSON)
				})
			}
		},
	}
}

func listTokens(ctx context.Context, p *cli.Program, a *mailbox.Account, asJSON bool) error {
	infos, err := a.Tokens(ctx)
	if err != nil {
		return err
	}
	lines := make([]tokenLine, 0, len(infos))
	for _, i := range infos {
		lines = append(lines, tokenLine{ID: i.ID, Created: i.Created, Label: i.Label})
	}
	if asJSON {
		return json.NewEncoder(p.Out).Encode(lines)
	}
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%q\n", l.ID, l.Created.Format(time.RFC3339), l.Label)
	}
	return w.Flush()
}

func tokenRevokeCommand() cli.Command {
	return cli.Command{
		Name: "account token revoke", Args: []string{"NAME", "ID"}, About: "make a token open nothing any more",
		Text: `Revokes the token that "account token list" shows with this ID. Sessions that it
opened go on until they end.

` + access.PasswordHelp,
		Examples: []string{"mailserver account token revoke ann ID -store ./mail"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.With(ctx, p, access.Change, names[0], func(a *mailbox.Account) error {
					return a.RevokeToken(ctx, names[1])
				})
			}
		},
	}
}
