package lmtpadapter

import (
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTraceLines(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	to := address{"bob+x", "example.org"}
	tr := trace{
		from: address{"a b", "example.net"}, helo: "client.example.net", peer: "192.0.2.7",
		by: "mx.example.org", id: "0011223344556677", at: at,
	}
	assert.Equal(t, "Return-Path: <\"a b\"@example.net>\r\n"+
		"Delivered-To: bob+x@example.org\r\n"+
		"Received: from client.example.net ([192.0.2.7])\r\n"+
		"\tby mx.example.org with LMTP id 0011223344556677\r\n"+
		"\tfor <bob+x@example.org>;\r\n"+
		"\tWed, 04 Mar 2026 05:06:07 +0100\r\n", string(tr.lines(to)))

	tr.from, tr.helo, tr.peer, tr.secure, tr.utf8 = address{}, "x)\r\nBcc: y", "2001:db8::1", true, true
	got := string(tr.lines(to))
	assert.True(t, strings.HasPrefix(got, "Return-Path: <>\r\n"))
	assert.Contains(t, got, "Received: from unknown ([IPv6:2001:db8::1])\r\n")
	assert.Contains(t, got, " with UTF8LMTPS id ")

	tr.helo, tr.peer, tr.secure, tr.utf8 = "[192.0.2.9]", "", false, true
	got = string(tr.lines(to))
	assert.Contains(t, got, "Received: from [192.0.2.9]\r\n")
	assert.Contains(t, got, " with UTF8LMTP id ")
}

// FuzzTraceLines: whatever the client says, our lines are three header fields
// of allowed length, and what follows them is the message.
func FuzzTraceLines(f *testing.F) {
	f.Add("sender@example.net", "alice@example.org", "client.example.net", "192.0.2.1", true)
	f.Add("", `a"\ b@example.org`, "[IPv6:::1]", "::1", false)
	f.Add("x\r\nBcc: y@z", "a@b", "x\r\n\r\nbody", "", false)
	f.Fuzz(func(t *testing.T, from, rcpt, helo, peer string, flag bool) {
		to, err := parseAddress(rcpt)
		if err != nil {
			return
		}
		sender, err := parseAddress(from)
		if err != nil {
			sender = address{}
		}
		tr := trace{from: sender, helo: helo, peer: peer, by: "mx.example.org", secure: flag, utf8: flag, id: newID(), at: time.Unix(0, 0)}
		got := string(tr.lines(to))
		for line := range strings.SplitSeq(strings.TrimSuffix(got, "\r\n"), "\r\n") {
			require.LessOrEqual(t, len(line), 998)
			require.NotContains(t, line, "\r")
			require.NotContains(t, line, "\n")
		}
		m, err := mail.ReadMessage(strings.NewReader(got + "Subject: x\r\n\r\nbody"))
		require.NoError(t, err)
		require.Len(t, m.Header, 4)
		for _, name := range []string{"Return-Path", "Delivered-To", "Received", "Subject"} {
			require.Len(t, m.Header[name], 1)
		}
		require.Equal(t, "<"+sender.String()+">", m.Header.Get("Return-Path"))
		require.Equal(t, to.String(), m.Header.Get("Delivered-To"))
	})
}
