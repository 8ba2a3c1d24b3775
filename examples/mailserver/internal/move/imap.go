package move

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/letterlock/letterlock/examples/mailserver/internal/archive"
	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// errLost is a connection that ended in the middle.
var errLost = errors.New("the server is gone: run the command again to go on")

const (
	fetchWindow = 64        // messages of one FETCH
	fetchMemory = 256 << 10 // a body of up to this is read at once, so that the next can come
)

// server is where an IMAP server is, and who asks.
type server struct {
	user, address string
	tls, starttls bool
}

func remote(source string) bool {
	return strings.HasPrefix(source, "imap://") || strings.HasPrefix(source, "imaps://")
}

// parseServer reads the URL of a server.
func parseServer(source string, plain bool) (server, error) {
	u, err := url.Parse(source)
	if err != nil {
		return server{}, cli.Usagef("SOURCE is imap://USER@HOST or imaps://USER@HOST") // an error may quote a password
	}
	_, password := u.User.Password()
	switch {
	case password:
		return server{}, cli.Usagef("a password in SOURCE can be seen by others: it is read from -password-file, or asked for")
	case u.User.Username() == "" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "":
		return server{}, cli.Usagef("SOURCE is imap://USER@HOST or imaps://USER@HOST")
	case plain && u.Scheme == "imaps":
		return server{}, cli.Usagef("-plain is for imap://")
	}
	s := server{user: u.User.Username(), tls: u.Scheme == "imaps", starttls: u.Scheme == "imap" && !plain}
	port := u.Port()
	if port == "" {
		port = map[string]string{"imap": "143", "imaps": "993"}[u.Scheme]
	}
	s.address = net.JoinHostPort(u.Hostname(), port)
	return s, nil
}

// openServer logs in to an IMAP server and lists its folders.
func (m *mover) openServer(ctx context.Context, p *cli.Program, from string) (*source, error) {
	s, err := parseServer(from, m.flags.plain)
	if err != nil {
		return nil, err
	}
	password, err := m.serverPassword(ctx, p, s)
	if err != nil {
		return nil, err
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.address, err)
	}
	c := imapclient.New(conn, nil)
	stop := context.AfterFunc(ctx, func() { c.Close() })
	src := &source{kind: "imap", scope: s.user + "@" + s.address, close: func() error {
		stop()
		c.Logout() // it ends the connection, whatever the answer
		c.Close()
		return nil
	}}
	if err := c.Login(s.user, string(password)).Wait(); err != nil {
		stop()
		c.Close()
		return nil, fmt.Errorf("log in to %s: %w", s.address, refusal(err))
	}
	c.Caps() // they are asked for by now
	conn.open.Store(true)
	if err := m.listServer(c, src); err != nil {
		stop()
		c.Close()
		return nil, fmt.Errorf("list the folders of %s: %w", s.address, err)
	}
	return src, nil
}

// refusal is a server's answer without its text, which may name the user.
func refusal(err error) error {
	var answer *imap.Error
	if errors.As(err, &answer) {
		return errors.New(strings.TrimSpace(fmt.Sprintf("the server says %s %s", answer.Type, answer.Code)))
	}
	return err
}

func (m *mover) serverPassword(ctx context.Context, p *cli.Program, s server) ([]byte, error) {
	if m.flags.passwordFile == "" {
		return p.Password(ctx, "Password of "+s.user+" on "+s.address)
	}
	f, err := os.Open(m.flags.passwordFile)
	if err != nil {
		return nil, fmt.Errorf("password file: %w", err)
	}
	defer f.Close()
	line, err := bufio.NewReader(io.LimitReader(f, cli.MaxLine)).ReadString('\n')
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("password file: %w", err)
	}
	return []byte(strings.TrimRight(line, "\r\n")), nil
}

// listServer finds the server's folders and how many messages they have.
func (m *mover) listServer(c *imapclient.Client, src *source) error {
	caps := c.Caps()
	extended := caps.Has(imap.CapListExtended) || caps.Has(imap.CapIMAP4rev2)
	options := &imap.ListOptions{ReturnSubscribed: extended, ReturnSpecialUse: extended && caps.Has(imap.CapSpecialUse)}
	if !extended {
		options = nil
	}
	list, err := c.List("", "*", options).Collect()
	if err != nil {
		return err
	}
	for _, l := range list {
		if slices.Contains(l.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(l.Attrs, imap.MailboxAttrNonExistent) {
			continue
		}
		r := &remoteFolder{client: c, name: l.Mailbox, mover: m, source: src}
		f := sourceFolder{Folder: archive.Folder{Name: l.Mailbox, Messages: r.messages}, bind: func(to string) { r.target = to }}
		if l.Delim != 0 && l.Delim != '/' {
			f.Name = strings.ReplaceAll(strings.ReplaceAll(l.Mailbox, "/", "_"), string(l.Delim), "/")
		}
		f.Subscribed = !extended || slices.Contains(l.Attrs, imap.MailboxAttrSubscribed)
		for _, a := range l.Attrs {
			if slices.Contains([]imap.MailboxAttr{imap.MailboxAttrArchive, imap.MailboxAttrDrafts, imap.MailboxAttrJunk, imap.MailboxAttrSent, imap.MailboxAttrTrash}, a) {
				f.specialUse = append(f.specialUse, string(a))
			}
		}
		st, err := c.Status(l.Mailbox, &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true}).Wait()
		if err != nil {
			var answer *imap.Error
			if !errors.As(err, &answer) {
				return err
			}
			src.errs = append(src.errs, fmt.Errorf("folder %s cannot be opened: %w", l.Mailbox, refusal(err)))
			continue
		}
		f.UIDValidity, f.UIDNext = st.UIDValidity, uint32(st.UIDNext)
		if st.NumMessages != nil {
			f.Weight = int64(*st.NumMessages)
		}
		src.folders = append(src.folders, f)
	}
	return nil
}

// remoteFolder reads one folder of a server.
type remoteFolder struct {
	client *imapclient.Client
	name   string
	target string // the mailbox that it goes to
	mover  *mover
	source *source
}

// remoteKey tells a message from the others of its folder.
func remoteKey(validity uint32, uid imap.UID) string { return fmt.Sprintf("%d\x00%d", validity, uid) }

// messages yields those that are in the account without asking for them, and the
// others as they come.
func (r *remoteFolder) messages(yield func(archive.Message, error) bool) {
	sel, err := r.client.Select(r.name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		yield(archive.Message{}, r.lost(err))
		return
	}
	uids, err := r.uids(sel)
	if err != nil {
		yield(archive.Message{}, r.lost(err))
		return
	}
	var window []imap.UID
	flush := func() bool {
		if len(window) == 0 {
			return true
		}
		goOn, err := r.fetch(sel.UIDValidity, window, yield)
		window = window[:0]
		if err != nil && goOn {
			yield(archive.Message{}, r.lost(err))
			return false
		}
		return goOn
	}
	for _, run := range uids {
		for uid := run.Start; ; uid++ {
			key := remoteKey(sel.UIDValidity, uid)
			if r.mover.importer.Has(r.source.origin(r.target, key)) {
				if !yield(archive.Message{Key: key, UID: uint32(uid), Weight: 1}, nil) {
					return
				}
			} else if window = append(window, uid); len(window) == fetchWindow && !flush() {
				return
			}
			if uid == run.Stop {
				break
			}
		}
	}
	flush()
}

// lost makes an error of the connection one that ends the import.
func (r *remoteFolder) lost(err error) error {
	var answer *imap.Error
	if errors.As(err, &answer) {
		return fmt.Errorf("%w: folder %s: %w", archive.ErrFolder, r.name, refusal(err))
	}
	return fmt.Errorf("folder %s: %w: %w", r.name, errLost, err)
}

// uids asks which messages there are.
func (r *remoteFolder) uids(sel *imap.SelectData) (imap.UIDSet, error) {
	if sel.NumMessages == 0 {
		return nil, nil
	}
	found, err := r.client.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	if err != nil {
		return nil, err
	}
	set, _ := found.All.(imap.UIDSet)
	n := uint64(0)
	for _, run := range set {
		if run.Start == 0 || run.Stop < run.Start {
			return nil, errors.New("the server names messages that cannot be")
		}
		n += uint64(run.Stop-run.Start) + 1
	}
	if n > uint64(sel.NumMessages)+10_000 { // what came meanwhile
		return nil, errors.New("the server names more messages than it has")
	}
	return set, nil
}

// remoteMessage is what comes before the bytes of a message.
type remoteMessage struct {
	flags []string
	date  time.Time
}

// fetch yields some messages. A message that the server does not send is yielded as an error.
func (r *remoteFolder) fetch(validity uint32, uids []imap.UID, yield func(archive.Message, error) bool) (goOn bool, err error) {
	set := imap.UIDSetNum(uids...)
	list, err := r.client.Fetch(set, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true}).Collect()
	if err != nil {
		return true, err
	}
	known := map[imap.UID]remoteMessage{}
	for _, b := range list {
		m := remoteMessage{date: b.InternalDate}
		for _, f := range b.Flags {
			m.flags = append(m.flags, string(f))
		}
		known[b.UID] = m
	}
	body := &imap.FetchItemBodySection{Peek: true}
	cmd := r.client.Fetch(set, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{body}})
	came := map[imap.UID]bool{}
	for goOn = true; goOn; {
		data := cmd.Next()
		if data == nil {
			break
		}
		goOn, err = r.one(data, validity, known, came, yield)
		if err != nil {
			break
		}
	}
	if !goOn || err != nil {
		// The rest of the answer may be long: nobody waits for it.
		r.client.Close()
		return goOn, err
	}
	if err := cmd.Close(); err != nil {
		return true, err
	}
	for _, uid := range uids {
		if !came[uid] && !yield(archive.Message{Name: fmt.Sprintf("UID %d", uid), Weight: 1}, errors.New("the server did not send it")) {
			return false, nil
		}
	}
	return true, nil
}

// one yields the message of one answer.
func (r *remoteFolder) one(data *imapclient.FetchMessageData, validity uint32, known map[imap.UID]remoteMessage, came map[imap.UID]bool, yield func(archive.Message, error) bool) (goOn bool, err error) {
	var uid imap.UID
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			uid = item.UID
		case imapclient.FetchItemDataBodySection:
			if item.Literal == nil || came[uid] {
				continue // NIL: expunged meanwhile
			}
			came[uid] = true
			m := archive.Message{
				Name: fmt.Sprintf("UID %d", uid), Key: remoteKey(validity, uid), UID: uint32(uid), Weight: 1,
				Flags: known[uid].flags, Date: known[uid].date,
			}
			if item.Literal.Size() <= fetchMemory {
				b, err := io.ReadAll(item.Literal)
				if err != nil || int64(len(b)) != item.Literal.Size() {
					return true, errors.Join(io.ErrUnexpectedEOF, err)
				}
				m.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
				if !yield(m, nil) {
					return false, nil
				}
				continue
			}
			read := &streamed{r: item.Literal, left: item.Literal.Size(), closed: make(chan struct{})}
			m.Open = func() (io.ReadCloser, error) { return read, nil }
			if !yield(m, nil) {
				return false, nil
			}
			<-read.closed // what follows on the connection comes after it
			if read.err != nil {
				return true, read.err
			}
		}
	}
	return true, nil
}

// streamed is a body that is read from the connection as it comes.
type streamed struct {
	r      io.Reader
	left   int64
	err    error
	closed chan struct{}
	once   sync.Once
}

func (s *streamed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.left -= int64(n)
	if err == io.EOF && s.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		s.err = fmt.Errorf("%w: %w", errLost, err)
		err = s.err
	}
	return n, err
}

func (s *streamed) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}
