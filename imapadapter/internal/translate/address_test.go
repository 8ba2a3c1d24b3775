package translate

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddress(t *testing.T) {
	for remote, want := range map[net.Addr]netip.Addr{
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 5}:               netip.MustParseAddr("192.0.2.1"),
		&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 5}:           netip.MustParseAddr("2001:db8::1"),
		&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 5, Zone: "eth0"}: netip.MustParseAddr("fe80::1%eth0"),
		&net.UnixAddr{Name: "@"}:                                        {},
	} {
		require.Equal(t, want, Address(remote.String()))
	}
}
