package account

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

// folderLine is what "folder list" tells of a folder.
type folderLine struct {
	Name        string   `json:"name"`
	ID          uint32   `json:"id"`
	Messages    int      `json:"messages"`
	Unseen      int      `json:"unseen"`
	Bytes       int64    `json:"bytes"`
	UIDValidity uint32   `json:"uidvalidity"`
	UIDNext     uint32   `json:"uidnext"`
	Subscribed  bool     `json:"subscribed"`
	SpecialUse  []string `json:"special_use"`
}

func folderListCommand() cli.Command {
	return cli.Command{
		Name: "folder list", Args: []string{"NAME"}, About: "list an account's folders",
		Text: `Lists the folders of the account NAME in the order of their names: messages, those
unseen, bytes, UIDVALIDITY, UIDNEXT, name. With -json, an array of objects with the
members name, id, messages, unseen, bytes, uidvalidity, uidnext, subscribed and
special_use.

` + access.PasswordHelp,
		Examples: []string{"mailserver folder list ann -store ./mail", "mailserver folder list ann -store ./mail -json -recovery-file ann.key"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.AccountFlags
			f.Add(fs)
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.With(ctx, p, access.Read, names[0], func(a *mailbox.Account) error {
					return listFolders(ctx, p, a, *asJSON)
				})
			}
		},
	}
}

func listFolders(ctx context.Context, p *cli.Program, a *mailbox.Account, asJSON bool) error {
	boxes, err := a.Mailboxes(ctx)
	if err != nil {
		return err
	}
	lines := []folderLine{} // JSON's [], not null
	for _, b := range boxes {
		if !b.Exists {
			continue
		}
		lines = append(lines, folderLine{
			Name: b.Name, ID: uint32(b.ID), Messages: b.Messages, Unseen: b.Unseen, Bytes: b.Size,
			UIDValidity: b.UIDValidity, UIDNext: uint32(b.UIDNext), Subscribed: b.Subscribed,
			SpecialUse: append([]string{}, b.SpecialUse...),
		})
	}
	if asJSON {
		return json.NewEncoder(p.Out).Encode(lines)
	}
	w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "messages\tunseen\tbytes\tuidvalidity\tuidnext\t name\n")
	for _, l := range lines {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t %q\n", l.Messages, l.Unseen, l.Bytes, l.UIDValidity, l.UIDNext, l.Name)
	}
	return w.Flush()
}
