// Package doctor is the command that looks at a server's surroundings, and says what
// is wrong with them and what to do.
package doctor

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/access"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// Command returns the command.
func Command() cli.Command {
	return cli.Command{
		Name: "doctor", About: "look at store, disk, clock, ports and TLS, and say what to do",
		Text: `Looks at what a server needs: the store and the key beside it, permissions, the disk,
the clock, the limit of open files, the addresses, the certificate, and the bucket.
Each line says ok, warning or problem, and what to do. The flags are those of "serve",
which may run meanwhile.

It makes no store. In a folder it writes one file and removes it; a bucket is tried out
as at each start. "check" looks for damage in the store itself.

With -json, an array of objects: status, subject, text, advice. The exit status is 1 if
there is a problem; warnings do not count.`,
		Examples: []string{
			"mailserver doctor -store ./mail",
			"mailserver doctor -store ./mail -imaps :993 -tls-cert cert.pem -tls-key key.pem",
		},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var f flags
			f.Flags.Add(fs)
			fs.StringVar(&f.imap, "imap", "127.0.0.1:1143", "the `address` of IMAP")
			fs.StringVar(&f.lmtp, "lmtp", "127.0.0.1:1124", "the `address` of LMTP")
			fs.StringVar(&f.imaps, "imaps", "", "the `address` of IMAP over TLS")
			fs.StringVar(&f.metrics, "metrics", "", "the `address` of HTTP")
			fs.StringVar(&f.tlsCert, "tls-cert", "", "the certificate's `file`, PEM, with its chain")
			fs.StringVar(&f.tlsKey, "tls-key", "", "the `file` of the certificate's key, PEM")
			fs.StringVar(&f.domain, "domain", "", "the `name` under which mail programs reach the server")
			asJSON := fs.Bool("json", false, "print JSON")
			return func(ctx context.Context, p *cli.Program, _ []string) error {
				if err := f.Resolve(); err != nil {
					return err
				}
				d := &doctor{flags: &f, now: time.Now}
				d.examine(ctx, p)
				return d.print(p, *asJSON)
			}
		},
	}
}

type flags struct {
	access.Flags
	imap, imaps, lmtp, metrics string
	tlsCert, tlsKey, domain    string
}

// Statuses of a finding.
const (
	statusOK      = "ok"
	statusWarning = "warning"
	statusProblem = "problem"
)

// finding is what is known about a subject, as it is printed.
type finding struct {
	Status  string `json:"status"`
	Subject string `json:"subject"`
	Text    string `json:"text"`
	Advice  string `json:"advice,omitempty"`
}

// doctor collects findings.
type doctor struct {
	flags *flags
	now   func() time.Time
	found []finding
}

func (d *doctor) ok(subject, format string, args ...any) {
	d.found = append(d.found, finding{statusOK, subject, fmt.Sprintf(format, args...), ""})
}

func (d *doctor) warn(subject, advice, format string, args ...any) {
	d.found = append(d.found, finding{statusWarning, subject, fmt.Sprintf(format, args...), advice})
}

func (d *doctor) problem(subject, advice, format string, args ...any) {
	d.found = append(d.found, finding{statusProblem, subject, fmt.Sprintf(format, args...), advice})
}

func (d *doctor) examine(ctx context.Context, p *cli.Program) {
	d.store(ctx, p)
	d.serverKey()
	if d.flags.Bucket() {
		d.bucketClock(ctx)
	} else {
		d.folder()
		d.disk()
		d.folderClock()
	}
	d.openFiles()
	d.addresses(ctx)
	d.certificate()
}

func (d *doctor) print(p *cli.Program, asJSON bool) error {
	problems, warnings := 0, 0
	for _, f := range d.found {
		switch f.Status {
		case statusProblem:
			problems++
		case statusWarning:
			warnings++
		}
	}
	if asJSON {
		if err := json.NewEncoder(p.Out).Encode(d.found); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
		for _, f := range d.found {
			fmt.Fprintf(w, "%s\t%s\t%s\n", f.Status, f.Subject, f.Text)
			if f.Advice != "" {
				fmt.Fprintf(w, "\t\t-> %s\n", f.Advice)
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(p.Out, "%d problems, %d warnings\n", problems, warnings)
	}
	if problems > 0 {
		return fmt.Errorf("problems found: %d", problems)
	}
	return nil
}
