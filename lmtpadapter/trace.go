package lmtpadapter

import (
	"net"
	"strings"
	"time"
)

// trace is what the header lines that go in front of a message are made from.
// Lines that are already in the message are left alone, also a Return-Path:
// readers take the topmost.
type trace struct {
	from   address // the zero address is the null sender
	helo   string  // what the client called itself, unchecked
	peer   string  // the client's IP address, or "" over a Unix socket
	by     string  // our host name
	secure bool    // over TLS
	utf8   bool    // the client asked for SMTPUTF8
	id     string
	at     time.Time
}

// lines returns the three header fields for one recipient, each line ended by
// CRLF: Return-Path and Received, which RFC 5321 section 4.4 demands of a final
// delivery, and Delivered-To, which tells what address of several brought the
// message here. Every variable part is an address that parseAddress let through,
// a checked host name, or ours, so that no client can add a line of its own.
func (t *trace) lines(to address) []byte {
	var b strings.Builder
	b.WriteString("Return-Path: <" + t.from.String() + ">\r\n")
	b.WriteString("Delivered-To: " + to.String() + "\r\n")
	b.WriteString("Received: from " + t.client() + "\r\n")
	b.WriteString("\tby " + t.by + " with " + t.protocol() + " id " + t.id + "\r\n")
	b.WriteString("\tfor <" + to.String() + ">;\r\n")
	b.WriteString("\t" + t.at.Format(time.RFC1123Z) + "\r\n")
	return []byte(b.String())
}

func (t *trace) client() string {
	name := t.helo
	if checkDomain(name) != nil {
		name = "unknown"
	}
	ip := net.ParseIP(t.peer)
	switch {
	case ip == nil:
		return name
	case ip.To4() == nil:
		return name + " ([IPv6:" + ip.String() + "])"
	default:
		return name + " ([" + ip.String() + "])"
	}
}

// protocol is a name of the IANA registry of mail transmission types (RFC 3848,
// RFC 6531 section 4.3).
func (t *trace) protocol() string {
	p := "LMTP"
	if t.utf8 {
		p = "UTF8LMTP"
	}
	if t.secure {
		p += "S"
	}
	return p
}

// peerIP is the IP address of a connection's other end, or "".
func peerIP(c net.Conn) string {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}
