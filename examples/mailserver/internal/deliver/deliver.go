// Package deliver is the command that hands a mail to a server by LMTP.
package deliver

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

func Command() cli.Command {
	return cli.Command{
		Name: "deliver", Args: []string{"ADDRESS..."}, About: "hand a mail to a server by LMTP",
		Text: `Reads a mail from standard input and delivers it to the addresses through the
LMTP address of a server that runs, as a mail server would: for trying things out,
and for scripts. An address without a domain gets "localhost". user+folder@domain
delivers to a folder. Line ends become CR LF.

The server's answer for each address is printed. The exit status is 0 if it took
the mail for all of them.`,
		Examples: []string{"mailserver deliver ann@example.org -lmtp 127.0.0.1:1124 < mail.eml"},
		Setup: func(fs *flag.FlagSet) cli.Action {
			var d delivery
			fs.StringVar(&d.server, "lmtp", "127.0.0.1:1124", "the server's `address`, HOST:PORT or unix:/path")
			fs.StringVar(&d.from, "from", "", "the sender's `address`, for bounces (default none)")
			return func(ctx context.Context, p *cli.Program, names []string) error {
				d.to = names
				return d.run(ctx, p.In, p.Out)
			}
		},
	}
}

// deliverTimeout bounds the wait for the server's answers: RFC 5321 section
// 4.5.3.2.6.
const deliverTimeout = 10 * time.Minute

// delivery is one mail for a server to deliver.
type delivery struct {
	server string
	from   string
	to     []string
}

func (d *delivery) run(ctx context.Context, mail io.Reader, answers io.Writer) error {
	for _, a := range append([]string{d.from}, d.to...) {
		if strings.ContainsAny(a, "<>\r\n") {
			return cli.Usagef("an address has no angle brackets and no line ends")
		}
	}
	network, address := "tcp", d.server
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Now()) })
	defer stop()
	c := textproto.NewConn(conn)
	defer c.Close()
	taken, err := d.begin(c, answers)
	if err == nil && len(taken) > 0 {
		taken, err = d.send(c, mail, conn, taken, answers)
	}
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted; the mail may have been delivered")
	case err != nil:
		return err
	case len(taken) < len(d.to):
		return fmt.Errorf("not delivered to %d of %d addresses", len(d.to)-len(taken), len(d.to))
	}
	// The mail is taken, whatever becomes of a farewell.
	c.PrintfLine("QUIT")
	return nil
}

// say says one line and wants one answer.
func say(c *textproto.Conn, line string, code int) error {
	if err := c.PrintfLine("%s", line); err != nil {
		return err
	}
	_, _, err := c.ReadResponse(code)
	return err
}

// begin says what comes, and returns the addresses that the server takes it for.
func (d *delivery) begin(c *textproto.Conn, answers io.Writer) (taken []string, err error) {
	if _, _, err := c.ReadResponse(220); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "localhost"
	}
	for _, line := range []string{"LHLO " + host, "MAIL FROM:<" + d.from + ">"} {
		if err := say(c, line, 250); err != nil {
			return nil, err
		}
	}
	for _, to := range d.to {
		if !strings.Contains(to, "@") {
			to += "@localhost"
		}
		err := say(c, "RCPT TO:<"+to+">", 250)
		var refused *textproto.Error
		switch {
		case errors.As(err, &refused):
			fmt.Fprintf(answers, "%s: %d %s\n", to, refused.Code, refused.Msg)
		case err != nil:
			return nil, err
		default:
			taken = append(taken, to)
		}
	}
	return taken, nil
}

// send sends the mail and reads one answer for each address (RFC 2033 section
// 4.2). It returns those that have it.
func (d *delivery) send(c *textproto.Conn, mail io.Reader, conn net.Conn, to []string, answers io.Writer) (done []string, err error) {
	if err := say(c, "DATA", 354); err != nil {
		return nil, err
	}
	w := c.DotWriter()
	if _, err := io.Copy(w, mail); err != nil {
		return nil, err // without the last line the server keeps nothing
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := conn.SetReadDeadline(time.Now().Add(deliverTimeout)); err != nil {
		return nil, err
	}
	for _, address := range to {
		code, text, err := c.ReadResponse(250)
		var refused *textproto.Error
		switch {
		case errors.As(err, &refused):
			fmt.Fprintf(answers, "%s: %d %s\n", address, refused.Code, refused.Msg)
		case err != nil:
			return nil, err
		default:
			fmt.Fprintf(answers, "%s: %d %s\n", address, code, text)
			done = append(done, address)
		}
	}
	return done, nil
}
