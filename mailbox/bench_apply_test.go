package mailbox

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Applying an event to a mailbox of many pages, all in memory.
func BenchmarkApply(b *testing.B) {
	m := newMessage{Size: 1000}
	s := applyGenesis(1, &genesis{UIDValidity: 1})
	inbox := s.byName(Inbox).id
	get := func(r *pageRef) *page { return r.page }
	apply := func(s *state, e event) *state {
		n, err := s.apply(s.at+1, e, get)
		require.NoError(b, err)
		return n
	}
	s = apply(s, &createMailbox{Name: "Sent"})
	sent := s.byName("Sent").id
	s = apply(s, &addMessages{Mailbox: inbox, Time: 1, Messages: slices.Repeat([]newMessage{m}, benchRows)})
	for _, c := range []struct {
		name string
		e    event
	}{
		{"add-1", &addMessages{Mailbox: inbox, Time: 1, Messages: slices.Repeat([]newMessage{m}, 1)}},
		{"flag-1", &flagMessages{Mailbox: inbox, UIDs: uidSet{{5, 5}}, Op: FlagsAdd, Flags: []string{FlagSeen}}},
		{"flag-1000", &flagMessages{Mailbox: inbox, UIDs: uidSet{{1, 1000}}, Op: FlagsAdd, Flags: []string{FlagSeen}}},
		{"copy-1000", &copyMessages{From: inbox, To: sent, UIDs: uidSet{{1, 1000}}, Time: 1}},
		{"move-1000", &copyMessages{From: inbox, To: sent, UIDs: uidSet{{1, 1000}}, Time: 1, Move: true}},
		{"expunge-1000", &expungeMessages{Mailbox: inbox, UIDs: uidSet{{1, 1000}}}},
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
