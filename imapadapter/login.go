package imapadapter

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"

	"github.com/letterlock/letterlock/imapadapter/internal/translate"
	"github.com/letterlock/letterlock/mailbox"
)

func (s *Session) authenticate(ctx context.Context, name string, secret []byte) (*mailbox.Account, error) {
	if s.o.Authenticate != nil {
		return s.o.Authenticate(ctx, name, secret)
	}
	return s.o.Store.LoginFrom(ctx, translate.Address(s.conn.NetConn().RemoteAddr().String()), name, secret)
}

// Login handles LOGIN. The password may be an app token.
func (s *Session) Login(username, password string) error {
	op := s.begin("LOGIN")
	defer op.end()
	account, err := s.authenticate(op.ctx, username, []byte(password))
	if err == nil {
		s.leave()
		s.account, s.failures = account, 0
		return nil
	}
	if errors.Is(err, mailbox.ErrAuth) {
		s.failures++
		s.o.Logger.Info("imap login failed", slog.Uint64("session", s.id), slog.String("remote", s.conn.NetConn().RemoteAddr().String()), slog.Int("failures", s.failures))
		op.wait(min(time.Duration(s.failures)*s.o.LoginDelay, maxLoginDelay))
	}
	return op.fail(err)
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

// Unauthenticate handles UNAUTHENTICATE (RFC 8437).
func (s *Session) Unauthenticate() error {
	op := s.begin("UNAUTHENTICATE")
	defer op.end()
	s.leave()
	return nil
}

// AuthenticateMechanisms returns what Authenticate knows.
func (s *Session) AuthenticateMechanisms() []string {
	return []string{sasl.Plain, sasl.OAuthBearer}
}

// Authenticate begins AUTHENTICATE with a mechanism.
func (s *Session) Authenticate(mech string) (sasl.Server, error) {
	m := &mechanism{}
	switch mech {
	case sasl.Plain: // RFC 4616
		m.server = sasl.NewPlainServer(func(identity, username, password string) error {
			if identity != "" && identity != username {
				m.err = translate.No(imap.ResponseCodeAuthorizationFailed, "Acting for another user is not supported")
			} else {
				m.err = s.Login(username, password)
			}
			return m.err
		})
	case sasl.OAuthBearer: // RFC 7628
		m.server = sasl.NewOAuthBearerServer(func(o sasl.OAuthBearerOptions) *sasl.OAuthBearerError {
			if m.err = s.Login(decodeName(o.Username), o.Token); m.err != nil {
				return &sasl.OAuthBearerError{Status: "invalid_token", Schemes: "bearer"}
			}
			return nil
		})
	default:
		return nil, translate.No("", "SASL mechanism is not supported")
	}
	return m, nil
}

// decodeName decodes a saslname (RFC 5801 section 4), which go-sasl leaves as it
// is.
func decodeName(s string) string {
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(s)
}

// mechanism corrects what a mechanism of go-sasl says to the engine: an empty challenge
// has to be nil, or the engine sends "=" for it; an error has to be one of IMAP's; and
// OAUTHBEARER's server panics if the client answers its last challenge, which only says
// that the login failed, with nothing.
type mechanism struct {
	server sasl.Server
	err    error // why the login failed
	failed bool  // a challenge said so
}

func (m *mechanism) Next(response []byte) (challenge []byte, done bool, err error) {
	if m.failed {
		return nil, true, m.err
	}
	challenge, done, err = m.server.Next(response)
	switch {
	case err != nil && m.err != nil:
		return nil, true, m.err
	case err != nil:
		return nil, true, translate.Bad("Malformed SASL response")
	case !done && len(challenge) > 0:
		m.failed = true
		if m.err == nil {
			m.err = translate.Bad("Malformed SASL response")
		}
	case !done:
		challenge = nil
	}
	return challenge, done, nil
}
