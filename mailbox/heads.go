package mailbox

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/letterlock/letterlock/eventlog"
)

// Heads says how far the logs of accounts were seen to go. They are no secret. As
// text, which is to be kept where the store's owner does not write, there is a
// line for each account: its ID, the position and the hash of its last entry.
type Heads map[eventlog.ID]eventlog.Head

// WriteTo writes the heads as text, in the order of IDs.
func (h Heads) WriteTo(w io.Writer) (int64, error) {
	lines := make([]string, 0, len(h))
	for id, head := range h {
		lines = append(lines, fmt.Sprintf("%v %d %v\n", id, head.Pos, head.Hash))
	}
	slices.Sort(lines)
	n, err := io.WriteString(w, strings.Join(lines, ""))
	return int64(n), err
}

// ReadHeads reads what WriteTo wrote.
func ReadHeads(r io.Reader) (Heads, error) {
	h := Heads{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		id, head, err := parseHead(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("mailbox: heads: line %d: %w", n, err)
		}
		h[id] = head
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("mailbox: heads: %w", err)
	}
	return h, nil
}

func parseHead(line string) (id eventlog.ID, head eventlog.Head, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return id, head, errors.New("want an ID, a position and a hash")
	}
	object, err := eventlog.ParseObjectID(fields[0]) // the same 32 digits
	if err != nil {
		return id, head, errors.New("not an account's ID")
	}
	pos, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil || pos == 0 {
		return id, head, errors.New("not a position")
	}
	n, err := hex.Decode(head.Hash[:], []byte(fields[2][:min(len(fields[2]), 2*len(head.Hash))]))
	if err != nil || n != len(head.Hash) || len(fields[2]) != 2*n {
		return id, head, errors.New("not a hash")
	}
	head.Pos = eventlog.Position(pos)
	return eventlog.ID(object), head, nil
}
