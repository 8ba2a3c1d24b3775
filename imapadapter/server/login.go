package server

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"

	"github.com/letterlock/letterlock/imapadapter/internal/frame"
	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/imapadapter/internal/wire"
	"github.com/letterlock/letterlock/mailbox"
	"github.com/letterlock/letterlock/mailbox/observe"
)

// logout handles LOGOUT.
func (r *request) logout() error {
	if err := r.p.End(); err != nil {
		return err
	}
	r.w.Text("* BYE Logging out")
	r.w.end()
	r.after = func() error { return io.EOF }
	return nil
}

// startTLS handles STARTTLS (RFC 9051 section 6.2.1). Bytes that came with the command
// were sent in plain text, by whoever, and would be read as if they had come through
// TLS (CVE-2011-0411): the connection ends. Bytes that come later are read as a
// handshake, and fail as one.
func (r *request) startTLS() error {
	err := r.p.End()
	switch {
	case err != nil:
		return err
	case r.secure || r.account != nil || r.o.TLSConfig == nil:
		return &imap.Error{Type: imap.StatusResponseTypeBad, Text: "STARTTLS is not available"}
	case r.sentMore():
		r.hangUp()
		return bad("Nothing may follow STARTTLS")
	}
	r.text = "Begin TLS negotiation now"
	r.after = func() error {
		r.frames.Release()
		secured := tls.Server(r.raw, r.o.TLSConfig)
		if r.handshake(secured) != nil {
			return io.EOF
		}
		r.stream, r.secure = secured, true
		r.frames.Reset(source{r.conn})
		return nil
	}
	return nil
}

// sentMore reports whether the client has sent something behind the command at work.
// Nothing is read ahead from then on until the next read.
func (c *conn) sentMore() bool {
	c.stopWatching()
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.frames.Buffered()) > 0 || len(c.ahead) > 0
}

// hangUp closes the connection when the command at work is answered.
func (c *conn) hangUp() {
	c.verdict = &frame.Refusal{Tag: "*", Text: "BYE Closing the connection", Fatal: true}
}

// handshake does the TLS handshake. The end of the connection ends it, and Shutdown
// does. Nothing is read ahead until the next read.
func (c *conn) handshake(secured *tls.Conn) error {
	c.stopWatching()
	c.setPhase(receiving, writeTimeout)
	if err := c.raw.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if err := secured.HandshakeContext(c.life); err != nil {
		c.logEnd("TLS handshake failed")
		return err
	}
	return nil
}

// login handles LOGIN. The password may be an app token. It stands in the command's
// text only, which is overwritten afterwards.
func (r *request) login() error {
	defer r.frames.Wipe()
	r.p.SP()
	name := r.p.AString()
	r.p.SP()
	secret := r.p.Secret()
	if err := r.p.End(); err != nil {
		return err
	}
	r.text = "Logged in"
	return r.enter(name, secret)
}

// enter logs the client in. The answer to a success has the new capabilities; the one to
// a wrong secret is delayed.
func (r *request) enter(name string, secret []byte) error {
	account, err := r.check(name, secret)
	if err == nil {
		r.account, r.user, r.failures, r.unknowns = account, name, 0, 0
		r.setLoginBy(time.Time{})
		r.o.Observe.Session(observe.IMAP, observe.LoggedIn)
		r.code = "CAPABILITY " + r.capabilities()
		return nil
	}
	if !errors.Is(err, mailbox.ErrAuth) {
		r.o.Observe.Session(observe.IMAP, observe.LoginFailed)
		return r.fail(err)
	}
	r.o.Observe.Session(observe.IMAP, observe.LoginRefused)
	r.failures++
	r.o.Logger.Info("imap login failed", slog.Uint64("session", r.id), slog.String("remote", r.raw.RemoteAddr().String()), slog.Int("failures", r.failures))
	r.wait(min(time.Duration(r.failures)*r.o.LoginDelay, maxLoginDelay))
	return r.fail(err)
}

func (r *request) loginAs(name string, secret []byte) (*mailbox.Account, error) {
	if r.o.Authenticate != nil {
		return r.o.Authenticate(r.ctx, name, secret)
	}
	return r.o.Store.LoginFrom(r.ctx, translate.Address(r.raw.RemoteAddr().String()), name, secret)
}

// check asks for the account of a name and a secret, and calls the hooks.
func (r *request) check(name string, secret []byte) (*mailbox.Account, error) {
	h := &r.o.Hooks
	login := Login{Session: r.about(), Name: name}
	if h.BeforeLogin != nil {
		if err := h.BeforeLogin(r.ctx, login); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	account, err := r.loginAs(name, secret)
	if h.AfterLogin == nil {
		return account, err
	}
	login.Err, login.Duration = err, time.Since(began)
	if refused := h.AfterLogin(r.ctx, login); refused != nil && err == nil {
		_ = account.Close()
		return nil, refused
	}
	return account, err
}

// wait waits for a time or until the connection is gone.
func (op *operation) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-op.ctx.Done():
	}
}

// unauthenticate handles UNAUTHENTICATE (RFC 8437).
func (r *request) unauthenticate() error {
	if err := r.p.End(); err != nil {
		return err
	}
	r.leave()
	r.enabled = enabled{}
	r.memory = &holder{conn: r.conn}
	r.setLoginBy(time.Now().Add(r.o.LoginTimeout))
	return nil
}

// authenticate handles AUTHENTICATE (RFC 9051 section 6.2.2).
func (r *request) authenticate() error {
	defer r.frames.Wipe()
	name, initial, ok := authenticateArgs(r.cmd)
	if !ok {
		return &wire.Error{Text: "malformed AUTHENTICATE"}
	}
	r.text = name + " authentication successful"
	switch name {
	case "PLAIN":
		return r.plain(initial)
	case sasl.OAuthBearer:
		return r.oauthBearer(initial)
	case "XOAUTH2":
		return r.xoauth2(initial)
	}
	return no("", "SASL mechanism is not supported")
}

// authenticateArgs returns the mechanism and the initial response of AUTHENTICATE, nil
// if there is none.
func authenticateArgs(cmd *frame.Command) (mechanism string, initial []byte, ok bool) {
	if len(cmd.Cuts) != 1 {
		return "", nil, false
	}
	args := bytes.TrimSuffix(cmd.Text[len(cmd.Tag)+len(" AUTHENTICATE"):], []byte("\r\n"))
	words := bytes.Split(args, []byte(" "))
	switch {
	case len(words) == 2:
		return strings.ToUpper(string(words[1])), nil, true
	case len(words) == 3 && len(words[2]) > 0:
		initial, err := decodeSASL(words[2])
		return strings.ToUpper(string(words[1])), initial, err == nil
	}
	return "", nil, false
}

// decodeSASL decodes a client's part of an exchange. A lone equals sign is the empty
// one, which is not nil.
func decodeSASL(b []byte) ([]byte, error) {
	if string(b) == "=" {
		return []byte{}, nil
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Decode(out, b)
	return out[:n], err
}

// challenge sends the server's part of an exchange and returns the client's answer.
// What cannot be one cancels the exchange.
func (r *request) challenge(text []byte) ([]byte, error) {
	cancelled := &imap.Error{Type: imap.StatusResponseTypeBad, Text: "AUTHENTICATE cancelled"}
	r.w.Text("+ ", base64.StdEncoding.EncodeToString(text))
	r.w.end()
	if r.w.flush(); r.w.err != nil {
		return nil, r.w.err
	}
	r.setPhase(receiving, commandTimeout)
	line, err := r.frames.Reply()
	r.setPhase(working, 0)
	var refused *frame.Refusal
	switch {
	case errors.As(err, &refused):
		if refused.Fatal {
			r.verdict = refused
		}
		return nil, cancelled
	case err != nil:
		return nil, err
	case string(line) == "*":
		return nil, cancelled
	}
	response, err := decodeSASL(line)
	if err != nil {
		return nil, cancelled
	}
	return response, nil
}

// plain handles the mechanism PLAIN (RFC 4616). It is not go-sasl's, which makes
// strings of secrets: these buffers are overwritten.
func (r *request) plain(response []byte) error {
	if response == nil {
		var err error
		if response, err = r.challenge(nil); err != nil {
			return err
		}
	}
	defer clear(response)
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 {
		return bad("Malformed SASL response")
	}
	identity, name := string(parts[0]), string(parts[1])
	if identity != "" && identity != name {
		return no(imap.ResponseCodeAuthorizationFailed, "Acting for another user is not supported")
	}
	return r.enter(name, parts[2])
}

// oauthBearer handles the mechanism OAUTHBEARER (RFC 7628). A login that failed is shown
// to the client by a challenge first, and by the answer when it has replied anything.
func (r *request) oauthBearer(response []byte) error {
	var failed error
	server := sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
		token := []byte(o.Token)
		defer clear(token)
		if failed = r.enter(decodeName(o.Username), token); failed != nil {
			return &sasl.OAuthBearerError{Status: "invalid_token", Schemes: "bearer"}
		}
		return nil
	})
	for {
		challenge, done, err := server.Next(response)
		switch {
		case err != nil:
			return bad("Malformed SASL response")
		case done:
			return nil
		}
		clear(response)
		if response, err = r.challenge(challenge); err != nil {
			return err
		}
		if len(challenge) == 0 {
			continue
		}
		if failed == nil {
			failed = bad("Malformed SASL response")
		}
		return failed
	}
}

// xoauth2 handles the mechanism XOAUTH2, the one of Google and Microsoft from before
// OAUTHBEARER: "user=" name ^A "auth=Bearer " token ^A ^A. A login that failed is shown to
// the client as by oauthBearer.
func (r *request) xoauth2(response []byte) error {
	if response == nil {
		var err error
		if response, err = r.challenge(nil); err != nil {
			return err
		}
	}
	defer clear(response)
	fields := bytes.Split(response, []byte{1})
	if len(fields) != 4 || len(fields[2])+len(fields[3]) > 0 {
		return bad("Malformed SASL response")
	}
	name, named := bytes.CutPrefix(fields[0], []byte("user="))
	const bearer = "auth=bearer "
	if !named || len(fields[1]) < len(bearer) || !strings.EqualFold(string(fields[1][:len(bearer)]), bearer) {
		return bad("Malformed SASL response")
	}
	failed := r.enter(string(name), fields[1][len(bearer):])
	if failed == nil {
		return nil
	}
	if _, err := r.challenge([]byte(`{"status":"400","schemes":"Bearer"}`)); err != nil {
		return err
	}
	return failed
}

// decodeName decodes a saslname (RFC 5801 section 4), which go-sasl leaves as it is.
func decodeName(s string) string {
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
}
