package mailbox

import (
	"fmt"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/state"
	"github.com/letterlock/letterlock/mailbox/message"
)

func bodyOf(n byte) state.BodyRef {
	return state.BodyRef{
		ID:  eventlog.ObjectID{n, 1, 2, 3},
		Key: crypto.BodyKey{File: crypto.FileKey{n, 4, 5}, Nonce: [16]byte{n, 6, 7}, Header: 1627},
	}
}

func metaOf(text string) []byte {
	s := message.NewScanner()
	fmt.Fprint(s, text)
	return s.Close().Encode()
}
