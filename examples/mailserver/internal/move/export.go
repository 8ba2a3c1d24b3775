package move

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/archive"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
	"github.com/letterlock/letterlock/mailbox"
)

func exportCommand() cli.Command {
	return cli.Command{
		Name: "export", Args: []string{"[NAME]"}, About: "move mail out, into files",
		Text: `Writes the mail of the account NAME into files below the folder -out, which must be
empty or not there.

Formats: maildir (Maildir++ with dovecot-uidlist, dovecot-keywords and
subscriptions: Dovecot can serve it as it is, and clients need not download again),
mbox (mboxrd, a file for each folder), eml (a file for each message, and
index.jsonl with UIDs and flags in each folder). Each is what "import" reads, and all
that it keeps comes back: folders, UIDs, UIDVALIDITY, flags, keywords, dates, bytes.
A Maildir has room for 26 keywords a folder; mbox has none for subscriptions, and
ends every message with a line end.

What cannot be read is named on standard error and counted, the rest is written,
and the exit status is 1. -on-error stop ends at the first. With -json, lines of JSON
are printed, as by "import".

With -identity, the account's recovery identity, no password is needed, and NAME may be
left out: the account is found by its key. If the account's log is so damaged that
it does not open, -bodies writes every message that the identity decrypts, without
folders, UIDs and flags; expunged ones may be among them. The file may have all
identities that the account had ("account recovery -all"): what came before
"account rotate" needs them.

` + access.PasswordHelp,
		Examples: []string{
			"mailserver export ann -out ./ann -store ./mail",
			"mailserver export -identity ann.key -format mbox -out ./ann -store ./mail",
			"mailserver export ann -folder INBOX -format eml -out ./inbox -store ./mail",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f exportFlags
			f.AccountFlags.Add(fs)
			fs.StringVar(&f.identity, "identity", "", "a `file` with the account's recovery identity; the same as -recovery-file")
			fs.StringVar(&f.out, "out", "", "the `folder` to write into; must be given")
			fs.StringVar(&f.format, "format", archive.FormatMaildir, "maildir, mbox or eml")
			fs.StringVar(&f.only, "folder", "", "export only this `folder`")
			fs.BoolVar(&f.bodies, "bodies", false, "export every message that -identity decrypts, without looking at the log")
			fs.StringVar(&f.onError, "on-error", "skip", "skip what cannot be read, or stop")
			fs.BoolVar(&f.asJSON, "json", false, "print lines of JSON")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				return f.run(ctx, p, strings.Join(names, ""))
			}
		},
	}
}

type exportFlags struct {
	access.AccountFlags
	identity string
	out      string
	format   string
	only     string
	bodies   bool
	onError  string
	asJSON   bool
}

func (f *exportFlags) check(name string) error {
	if f.identity != "" && f.RecoveryFile == "" {
		f.RecoveryFile = f.identity
	}
	switch {
	case f.out == "":
		return cli.Usagef("-out is missing")
	case f.onError != "skip" && f.onError != "stop":
		return cli.Usagef("-on-error is skip or stop")
	case !slices.Contains([]string{archive.FormatMaildir, archive.FormatMbox, archive.FormatEml}, f.format):
		return cli.Usagef("-format is maildir, mbox or eml")
	case name == "" && f.RecoveryFile == "":
		return cli.Usagef("NAME or -identity is missing")
	case f.bodies && (name != "" || f.only != ""):
		return cli.Usagef("-bodies is for -identity alone")
	}
	return nil
}

func (f *exportFlags) run(ctx context.Context, p *cli.Program, name string) error {
	if err := f.check(name); err != nil {
		return err
	}
	x := &exporter{flags: f, report: newReport(p, f.asJSON)}
	x.report.verb = "exported"
	do := func(a *mailbox.Account) error {
		x.account = a
		return x.report.done(x.run(ctx))
	}
	if name != "" {
		return f.With(ctx, p, access.Read, name, do)
	}
	s, err := f.Open(ctx, p, access.Read, nil)
	if err != nil {
		return err
	}
	return errors.Join(f.byIdentity(ctx, s, x, do), s.Close())
}

// byIdentity finds the account by its key.
func (f *exportFlags) byIdentity(ctx context.Context, s *access.Store, x *exporter, do func(*mailbox.Account) error) error {
	ids, err := access.ReadIdentities(f.RecoveryFile)
	if err != nil {
		return err
	}
	defer access.Wipe(ids)
	if f.bodies {
		return x.report.done(x.bodies(ctx, s.Store, ids))
	}
	a, err := s.OpenIdentity(ctx, ids[0])
	switch {
	case errors.Is(err, mailbox.ErrNoAccount):
		return errors.New("the identity is of no account in this store")
	case errors.Is(err, eventlog.ErrCorrupt):
		return fmt.Errorf("%w (-bodies exports what can be decrypted without it)", err)
	case err != nil:
		return err
	}
	return errors.Join(do(a), a.Close())
}

// exporter moves an account into an archive.
type exporter struct {
	flags   *exportFlags
	account *mailbox.Account
	report  *report
	writer  *archive.Writer
}

func (x *exporter) run(ctx context.Context) error {
	all, err := x.account.Mailboxes(ctx)
	if err != nil {
		return err
	}
	var boxes []mailbox.MailboxInfo
	for _, b := range all {
		if b.Exists && (x.flags.only == "" || x.flags.only == b.Name) {
			boxes = append(boxes, b)
			x.report.total += int64(b.Messages)
		}
	}
	if len(boxes) == 0 {
		return mailbox.ErrNoMailbox
	}
	if x.writer, err = archive.NewWriter(x.flags.format, x.flags.out); err != nil {
		return err
	}
	for _, b := range boxes {
		if err := x.folder(ctx, b); err != nil {
			return err
		}
	}
	return x.writer.Close()
}

// folder writes one folder. Messages that cannot be read are named, and counted
// also where a page that lists many cannot.
func (x *exporter) folder(ctx context.Context, b mailbox.MailboxInfo) (err error) {
	x.report.folder(b.Name)
	w, err := x.writer.Folder(archive.Folder{
		Name: b.Name, UIDValidity: b.UIDValidity, UIDNext: uint32(b.UIDNext), Subscribed: b.Subscribed,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	v, err := x.account.Select(ctx, b.Name, true)
	if err != nil {
		return err
	}
	defer v.Close()
	came, named := 0, 0 // messages that came, and those that were named as unreadable
	for m, err := range v.Messages(ctx, mailbox.All()) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if err = x.problem(b.Name, "", err); err != nil {
				return err
			}
			continue
		}
		came++
		bad, err := x.message(ctx, w, m)
		if err != nil {
			return err
		}
		x.report.step(1)
		if bad == nil {
			x.report.Added++
			continue
		}
		named++
		x.report.Refused++
		if err := x.problem(b.Name, fmt.Sprintf("UID %d", m.UID), bad); err != nil {
			return err
		}
	}
	x.report.line("folder", map[string]any{"folder": b.Name, "exported": came - named, "failed": v.Len() - came + named})
	if lost := v.Len() - came; lost > 0 {
		x.report.count(reason(nil), lost-1) // with the one that is named here
		x.report.Refused += lost
		return x.problem(b.Name, "", fmt.Errorf("%d messages are in what could not be read", lost))
	}
	return nil
}

// message writes a message. bad is what is wrong with it, err what is wrong with
// the files.
func (x *exporter) message(ctx context.Context, w archive.FolderWriter, m *mailbox.Message) (bad, err error) {
	r, err := m.Open(ctx, 0, -1)
	if err != nil {
		return err, ctx.Err()
	}
	defer r.Close()
	src := &noting{r: r}
	lost, err := w.Add(archive.Message{UID: uint32(m.UID), Flags: m.Flags(), Date: m.Date}, src)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case src.err != nil:
		return src.err, nil
	case err != nil:
		return nil, err
	}
	x.report.FlagsLeft += len(lost)
	return nil, nil
}

// problem reports what could not be read, and returns it if that is to end the
// export.
func (x *exporter) problem(folder, name string, err error) error {
	x.report.problem(folder, name, err)
	if x.flags.onError == "stop" {
		return err
	}
	return nil
}
