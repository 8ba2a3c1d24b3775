package server_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/stretchr/testify/assert"

	"github.com/letterlock/letterlock/imapadapter/server"
	"github.com/letterlock/letterlock/mailbox"
)

// TestHooks sees logins and commands, and refuses some of them.
func TestHooks(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf(format, args...))
	}
	w := newWorld(t, nil, func(o *server.Options) {
		o.Hooks = server.Hooks{
			BeforeLogin: func(_ context.Context, l server.Login) error {
				note("before login of %s", l.Name)
				if l.Name == "blocked" {
					return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeContactAdmin, Text: "Blocked"}
				}
				return nil
			},
			AfterLogin: func(_ context.Context, l server.Login) error {
				note("after login of %s: %v %v", l.Name, errors.Is(l.Err, mailbox.ErrAuth), l.Duration > 0)
				if l.Session.Remote == nil || l.Session.TLS {
					return errors.New("what connection is it?")
				}
				return nil
			},
			BeforeCommand: func(_ context.Context, c server.Command) error {
				if c.Name == "DELETE" {
					return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCodeNoPerm, Text: "Not today"}
				}
				return nil
			},
			AfterCommand: func(_ context.Context, c server.Command) {
				note("%s of %q: %s %v", c.Name, c.Session.Account, c.Status, c.Duration > 0 && c.Duration < time.Minute)
			},
		}
	})
	p := w.dial()
	p.no("LOGIN blocked x", "CONTACTADMIN")
	p.no("LOGIN nobody x", "AUTHENTICATIONFAILED")
	p.login()
	p.no("DELETE INBOX", "NOPERM")
	p.do("BOGUS")
	p.do("SELECT")
	p.do("UID SEARCH ALL")
	p.ok("UNAUTHENTICATE")
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []string{
		"before login of blocked", `LOGIN of "": NO true`,
		"before login of nobody", "after login of nobody: true true", `LOGIN of "": NO true`,
		"before login of " + user, "after login of " + user + ": false true", fmt.Sprintf("LOGIN of %q: OK true", user),
		fmt.Sprintf("DELETE of %q: NO true", user),
		fmt.Sprintf("BOGUS of %q: BAD true", user),
		fmt.Sprintf("SELECT of %q: BAD true", user),
		fmt.Sprintf("UID SEARCH of %q: BAD true", user),
		`UNAUTHENTICATE of "": OK true`,
	}, seen)
}

// TestAfterLoginRefuses closes the account of a login that a hook refuses.
func TestAfterLoginRefuses(t *testing.T) {
	w := newWorld(t, nil, func(o *server.Options) {
		o.Hooks.AfterLogin = func(context.Context, server.Login) error { return errors.New("the directory is down") }
	})
	p := w.dial()
	p.no(fmt.Sprintf("LOGIN %s %q", user, password), "UNAVAILABLE")
	p.do("SELECT INBOX")
	assert.Contains(t, w.log.String(), "the directory is down")
}

// TestSecretsAreOverwritten keeps what Authenticate was given: it is overwritten before the
// login is answered.
func TestSecretsAreOverwritten(t *testing.T) {
	var last []byte
	var given []string
	w := newWorld(t, nil, func(o *server.Options) {
		o.Authenticate = func(_ context.Context, _ string, secret []byte) (*mailbox.Account, error) {
			last, given = secret, append(given, string(secret))
			return nil, mailbox.ErrAuth
		}
		o.Hooks.AfterCommand = func(context.Context, server.Command) {
			assert.Equal(t, make([]byte, len(last)), last, "login %d", len(given))
		}
	})
	p := w.dial()
	for _, login := range []string{
		"LOGIN alice sesame", `LOGIN "alice" "ses\"ame"`, "LOGIN {5+}\r\nalice {6+}\r\nsesame",
		"AUTHENTICATE PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00sesame")),
	} {
		p.no(login, "AUTHENTICATIONFAILED")
	}
	bearer := base64.StdEncoding.EncodeToString([]byte("n,a=alice,\x01auth=Bearer sesame\x01\x01"))
	p.send("b AUTHENTICATE OAUTHBEARER " + bearer + "\r\n")
	assert.Contains(t, p.line(), "+ ")
	p.send("=\r\n")
	assert.Contains(t, p.line(), "b NO ")
	p.send("c AUTHENTICATE PLAIN\r\n")
	assert.Equal(t, "+ ", p.line())
	p.send(base64.StdEncoding.EncodeToString([]byte("\x00alice\x00sesame")) + "\r\n")
	assert.Contains(t, p.line(), "c NO ")
	assert.Equal(t, []string{"sesame", `ses"ame`, "sesame", "sesame", "sesame", "sesame"}, given)
}
