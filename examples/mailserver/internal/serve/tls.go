package serve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/letterlock/letterlock/examples/mailserver/internal/cli"
)

// tlsConfig returns the configuration for a certificate in files, or nil if none
// is given.
func tlsConfig(certFile, keyFile string, logger *slog.Logger) (*tls.Config, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, nil
	case keyFile == "":
		return nil, cli.Usagef("-tls-cert without -tls-key")
	case certFile == "":
		return nil, cli.Usagef("-tls-key without -tls-cert")
	}
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil },
	}, nil
}

// certificate is read again when its files change, so that one that is renewed
// every other month needs no restart.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu       sync.Mutex // protects what follows
	pair     *tls.Certificate
	modified [2]time.Time
}

// current returns the newest pair that could be read.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m, err := c.times(); err == nil && m != c.modified {
		if err := c.load(); err != nil {
			// Certificate and key may be replaced one after the other: the
			// next handshake tries again.
			c.logger.Warn("certificate cannot be read again", "error", err)
		}
	}
	return c.pair
}

// load reads the files. The caller holds mu, or is alone.
func (c *certificate) load() error {
	modified, err := c.times()
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", c.certFile, err)
	}
	c.pair, c.modified = &pair, modified
	return nil
}

func (c *certificate) times() ([2]time.Time, error) {
	var m [2]time.Time
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return m, err
		}
		m[i] = info.ModTime()
	}
	return m, nil
}
