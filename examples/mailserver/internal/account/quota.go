package account

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

func accountQuotaCommand() cli.Command {
	return cli.Command{
		Name: "account quota", Args: []string{"NAME"}, About: "limit what an account may hold",
		Text: `Limits the bytes and the number of all messages of an account, or with neither
flag shows the limits. It needs no password. A running server follows within five
minutes. A limit below what is there removes nothing and refuses more: APPEND and
COPY are answered NO [OVERQUOTA], mail is refused with 452 4.2.2.

Limits are not encrypted, and while there are any the store also tells how many
messages of what size the account has.

With -json, one object: storage and messages, 0 for no limit.`,
		Examples: []string{"mailserver account quota ann -store ./mail -storage 2G", "mailserver account quota ann -store ./mail -storage none -messages none"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f access.Flags
			f.Add(fs)
			var storage, messages limit
			fs.Var(&storage, "storage", "`bytes` of all messages, such as 500M or 2G; none for no limit")
			fs.Var(&messages, "messages", "`number` of messages; none for no limit")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return quota(ctx, p, &f, names[0], storage, messages, *asJSON)
			}
		},
	}
}

// limit is a flag with a number, such as 2G.
type limit struct {
	n   int64
	set bool
}

func (l *limit) String() string { return limitText(l.n) }

func (l *limit) Set(s string) error {
	l.set, l.n = true, 0
	if s == "none" {
		return nil
	}
	unit := int64(1)
	if i := strings.IndexAny(s, "KMGT"); i >= 0 && i == len(s)-1 {
		unit = 1 << (10 * (1 + strings.IndexByte("KMGT", s[i])))
		s = s[:i]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/unit {
		return errors.New("want a number above 0, perhaps with K, M, G or T behind it, or none")
	}
	l.n = n * unit
	return nil
}

func limitText(n int64) string {
	if n == 0 {
		return "none"
	}
	return strconv.FormatInt(n, 10)
}

func quota(ctx context.Context, p *cli.Program, f *access.Flags, name string, storage, messages limit, asJSON bool) error {
	mode := access.Read
	if storage.set || messages.set {
		mode = access.Change
	}
	s, err := f.Open(ctx, p, mode, nil)
	if err != nil {
		return err
	}
	do := func() error {
		q, err := s.Quota(ctx, name)
		if err != nil {
			return err
		}
		if storage.set {
			q.Storage = storage.n
		}
		if messages.set {
			q.Messages = messages.n
		}
		if storage.set || messages.set {
			if err := s.SetQuota(ctx, name, q); err != nil {
				return err
			}
		}
		if asJSON {
			return json.NewEncoder(p.Out).Encode(struct {
				Storage  int64 `json:"storage"`
				Messages int64 `json:"messages"`
			}{q.Storage, q.Messages})
		}
		_, err = fmt.Fprintf(p.Out, "storage: %s\nmessages: %s\n", limitText(q.Storage), limitText(q.Messages))
		return err
	}
	if err := do(); err != nil {
		return errors.Join(access.Named(name, err), s.Close())
	}
	return s.Close()
}
