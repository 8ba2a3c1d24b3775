package lmtpadapter

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
)

// Listen opens a listener on address: "unix:/path/to/socket", or "host:port" for
// TCP. The right to connect is the right to deliver mail, so it says who can:
//
//   - A Unix socket gets mode 0660, for the owner and group of the process; put
//     it in a folder that others cannot enter. A socket that a process left
//     behind is replaced; one that answers, and a file of another kind, are not.
//     Closing the listener removes it.
//   - TCP is for loopback or a network that you trust. RFC 2033 section 5 forbids
//     port 25; port 24 is registered for LMTP.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return lc.Listen(ctx, "tcp", address)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	ln, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// removeStale removes a socket that nobody listens on.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // Listen says what is wrong, if anything is
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		c.Close()
		return nil // Listen says that the address is in use
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return os.Remove(path)
}
