package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/letterlock/letterlock/mailbox"
)

func tokenAddCommand() command {
	return command{
		name: "account token add", args: []string{"NAME"}, about: "make a token for a device",
		text: `Makes a token and prints it on standard output, once. A mail program takes it in
place of the password. Each device should have its own: it can be revoked alone,
and logging in with it costs the server next to nothing.

` + passwordHelp,
		examples: []string{"mailserver account token add ann -label phone -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			label := fs.String("label", "", "a `text` to tell tokens apart by, at most 127 bytes; it is kept encrypted")
			return func(ctx context.Context, p *program, names []string) error {
				return f.with(ctx, p, names[0], func(a *mailbox.Account) error {
					token, err := a.AddToken(ctx, *label)
					if err != nil {
						return err
					}
					_, err = fmt.Fprintln(p.out, token.Export())
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

func tokenListCommand() command {
	return command{
		name: "account token list", args: []string{"NAME"}, about: "list an account's tokens",
		text: `Lists the account's tokens, oldest first: ID, when it was made, label. The tokens
themselves are kept nowhere. With -json, an array of objects with the members id,
created and label.

` + passwordHelp,
		examples: []string{"mailserver account token list ann -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *program, names []string) error {
				return f.with(ctx, p, names[0], func(a *mailbox.Account) error {
					return listTokens(ctx, p, a, *asJSON)
				})
			}
		},
	}
}

func listTokens(ctx context.Context, p *program, a *mailbox.Account, asJSON bool) error {
	infos, err := a.Tokens(ctx)
	if err != nil {
		return err
	}
	lines := make([]tokenLine, 0, len(infos))
	for _, i := range infos {
		lines = append(lines, tokenLine{ID: i.ID, Created: i.Created, Label: i.Label})
	}
	if asJSON {
		return json.NewEncoder(p.out).Encode(lines)
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%q\n", l.ID, l.Created.Format(time.RFC3339), l.Label)
	}
	return w.Flush()
}

func tokenRevokeCommand() command {
	return command{
		name: "account token revoke", args: []string{"NAME", "ID"}, about: "make a token open nothing any more",
		text: `Revokes the token that "account token list" shows with this ID. Sessions that it
opened go on until they end.

` + passwordHelp,
		examples: []string{"mailserver account token revoke ann ID -store ./mail"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			return func(ctx context.Context, p *program, names []string) error {
				return f.with(ctx, p, names[0], func(a *mailbox.Account) error {
					return a.RevokeToken(ctx, names[1])
				})
			}
		},
	}
}
