package state

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Applying an event to a mailbox of many pages, all in memory.
func BenchmarkApply(b *testing.B) {
	m := NewMessage{Size: 1000}
	s := NewAccount(1, &Genesis{UIDValidity: 1})
	inbox := s.ByName(Inbox).ID
	get := func(r *PageRef) *Page { return r.Page }
	apply := func(s *Account, e Event) *Account {
		n, err := s.Apply(s.At+1, e, get)
		require.NoError(b, err)
		return n
	}
	s = apply(s, &CreateMailbox{Name: "Sent"})
	sent := s.ByName("Sent").ID
	s = apply(s, &AddMessages{Mailbox: inbox, Time: 1, Messages: slices.Repeat([]NewMessage{m}, benchRows)})
	for _, c := range []struct {
		name string
		e    Event
	}{
		{"add-1", &AddMessages{Mailbox: inbox, Time: 1, Messages: slices.Repeat([]NewMessage{m}, 1)}},
		{"flag-1", &ChangeFlags{Mailbox: inbox, UIDs: UIDSet{{5, 5}}, Op: FlagsAdd, Flags: []string{FlagSeen}}},
		{"flag-1000", &ChangeFlags{Mailbox: inbox, UIDs: UIDSet{{1, 1000}}, Op: FlagsAdd, Flags: []string{FlagSeen}}},
		{"copy-1000", &CopyMessages{From: inbox, To: sent, UIDs: UIDSet{{1, 1000}}, Time: 1}},
		{"move-1000", &CopyMessages{From: inbox, To: sent, UIDs: UIDSet{{1, 1000}}, Time: 1, Move: true}},
		{"expunge-1000", &ExpungeMessages{Mailbox: inbox, UIDs: UIDSet{{1, 1000}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				apply(s, c.e)
			}
		})
	}
}

const benchRows = 100_000 // messages
