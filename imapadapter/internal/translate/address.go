package translate

import "net/netip"

// Address returns the IP address of a client whose network address prints as remote,
// or the zero Addr if that is none, as over a Unix socket.
func Address(remote string) netip.Addr {
	at, _ := netip.ParseAddrPort(remote)
	return at.Addr()
}
