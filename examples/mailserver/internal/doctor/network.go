package doctor

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// greetingTimeout is how long a server may take to greet.
const greetingTimeout = 3 * time.Second

// certificateSoon is when a certificate should have been renewed.
const certificateSoon = 14 * 24 * time.Hour

// addresses looks whether the server could listen, or does.
func (d *doctor) addresses(ctx context.Context) {
	for _, a := range []struct{ flag, address, greeting string }{
		{"-imap", d.flags.imap, "* OK"}, {"-imaps", d.flags.imaps, ""}, {"-lmtp", d.flags.lmtp, "220 "}, {"-metrics", d.flags.metrics, ""},
	} {
		switch {
		case a.address == "":
		case strings.HasPrefix(a.address, "unix:"):
			d.socket(a.flag, strings.TrimPrefix(a.address, "unix:"))
		default:
			d.address(ctx, a.flag, a.address, a.greeting)
		}
	}
}

func (d *doctor) address(ctx context.Context, flag, address, greeting string) {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	switch {
	case err == nil:
		ln.Close()
		d.ok(flag, "%s is free", address)
	case errors.Is(err, syscall.EADDRINUSE) && greets(ctx, address, greeting):
		d.ok(flag, "a server answers at %s", address)
	case errors.Is(err, syscall.EADDRINUSE):
		d.problem(flag, "end what listens there (ss -ltnp), or give another address", "%s is in use by another program", address)
	case errors.Is(err, fs.ErrPermission):
		d.problem(flag, "ports below 1024 need the capability CAP_NET_BIND_SERVICE, as in deploy/letterlock.service", "%s must not be listened on", address)
	default:
		d.problem(flag, "give HOST:PORT of this machine", "%v", err)
	}
	if err == nil && !loopback(ln.Addr()) {
		switch {
		case flag == "-lmtp":
			d.warn(flag, "use 127.0.0.1, a socket (unix:/path), or a network that you trust", "whoever reaches %s can deliver mail", address)
		case flag == "-imap" && d.flags.tlsCert == "":
			d.warn(flag, "give -tls-cert and -tls-key", "logins from other machines are refused at %s: there is no certificate", address)
		case flag == "-metrics":
			d.warn(flag, "use 127.0.0.1", "whoever reaches %s sees how much mail there is", address)
		}
	}
}

func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}

// greets reports whether a server at an address greets as it should. Where it waits
// for its client, a connection is enough.
func greets(ctx context.Context, address, greeting string) bool {
	ctx, cancel := context.WithTimeout(ctx, greetingTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return false
	}
	defer c.Close()
	if greeting == "" {
		return true
	}
	if err := c.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return false
	}
	line, _ := bufio.NewReaderSize(c, 512).ReadSlice('\n')
	return strings.HasPrefix(string(line), greeting)
}

// socket looks at the folder of a Unix socket.
func (d *doctor) socket(flag, path string) {
	info, err := os.Stat(filepath.Dir(path))
	switch {
	case err != nil:
		d.problem(flag, "make the folder, for the server's user", "%v", err)
	case !info.IsDir():
		d.problem(flag, "give a path in a folder", "%s is not a folder", filepath.Dir(path))
	default:
		d.ok(flag, "the socket %s", path)
	}
}

// certificate looks at the files that TLS needs.
func (d *doctor) certificate() {
	cert, key := d.flags.tlsCert, d.flags.tlsKey
	switch {
	case cert == "" && key == "" && d.flags.imaps == "":
		return
	case cert == "" || key == "":
		d.problem("TLS", "give both", "-tls-cert and -tls-key are needed")
		return
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		d.problem("TLS", "give files in PEM that belong together, and that the server's user may read", "%v", err)
		return
	}
	if info, err := os.Stat(key); err == nil {
		d.private("TLS key", key, info)
	}
	d.leaf(pair.Leaf, len(pair.Certificate))
}

func (d *doctor) leaf(leaf *x509.Certificate, chain int) {
	const renew = "renew it; the server reads the files again by itself"
	now := d.now()
	left := leaf.NotAfter.Sub(now)
	switch {
	case now.Before(leaf.NotBefore):
		d.problem("TLS", "is the clock right?", "the certificate is valid from %s on", stamp(leaf.NotBefore))
	case left < 0:
		d.problem("TLS", renew, "the certificate ended at %s", stamp(leaf.NotAfter))
	case left < certificateSoon:
		d.warn("TLS", renew, "the certificate ends at %s", stamp(leaf.NotAfter))
	default:
		d.ok("TLS", "the certificate of %s ends at %s", strings.Join(leaf.DNSNames, ", "), stamp(leaf.NotAfter))
	}
	if name := d.flags.domain; name != "" && leaf.VerifyHostname(name) != nil {
		d.problem("TLS", "get one for that name, or set -domain", "the certificate is not for %s", name)
	}
	switch selfSigned := leaf.CheckSignatureFrom(leaf) == nil || leaf.Issuer.String() == leaf.Subject.String(); {
	case selfSigned:
		d.warn("TLS", "get one of an authority that mail programs know, such as Let's Encrypt", "the certificate is signed by itself")
	case chain < 2:
		d.warn("TLS", "use the file with the chain (fullchain.pem)", "the file has the server's certificate alone")
	}
}
