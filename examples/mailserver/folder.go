package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"

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

func folderListCommand() command {
	return command{
		name: "folder list", args: []string{"NAME"}, about: "list an account's folders",
		text: `Lists the folders of the account NAME in the order of their names: messages, those
unseen, bytes, UIDVALIDITY, UIDNEXT, name. With -json, an array of objects with the
members name, id, messages, unseen, bytes, uidvalidity, uidnext, subscribed and
special_use.

` + passwordHelp,
		examples: []string{"mailserver folder list ann -store ./mail", "mailserver folder list ann -store ./mail -json -recovery-file ann.key"},
		setup: func(fs *flag.FlagSet) action {
			var f accountFlags
			f.add(fs)
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *program, names []string) error {
				return f.with(ctx, p, names[0], func(a *mailbox.Account) error {
					return listFolders(ctx, p, a, *asJSON)
				})
			}
		},
	}
}

func listFolders(ctx context.Context, p *program, a *mailbox.Account, asJSON bool) error {
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
		return json.NewEncoder(p.out).Encode(lines)
	}
	w := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "messages\tunseen\tbytes\tuidvalidity\tuidnext\t name\n")
	for _, l := range lines {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%d\t %q\n", l.Messages, l.Unseen, l.Bytes, l.UIDValidity, l.UIDNext, l.Name)
	}
	return w.Flush()
}
