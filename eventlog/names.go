package eventlog

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/letterlock/letterlock/blob"
)

// Folders of a log, below its prefix.
const (
	entryFolder    = "log/"
	snapshotFolder = "snap/"
	positionDigits = 16
)

// EntryFolder returns what the names of the entries begin with of a log whose objects
// have a prefix.
func EntryFolder(prefix string) string { return prefix + entryFolder }

// SnapshotFolder returns what the names of the snapshots begin with.
func SnapshotFolder(prefix string) string { return prefix + snapshotFolder }

// EntryName returns the name of the entry at a position.
func EntryName(prefix string, p Position) string { return positionName(EntryFolder(prefix), p) }

// SnapshotName returns the name of the snapshot at a position.
func SnapshotName(prefix string, p Position) string { return positionName(SnapshotFolder(prefix), p) }

func positionName(folder string, p Position) string { return fmt.Sprintf("%s%016d", folder, uint64(p)) }

func (l *Log) entryName(p Position) string { return EntryName(l.prefix, p) }

func (l *Log) snapshotName(p Position) string { return SnapshotName(l.prefix, p) }

// parsePosition reads the position from a name below folder. There is one name
// per position, so that byte order of names is the order of positions.
func (l *Log) parsePosition(folder, name string) (Position, bool) {
	digits, ok := strings.CutPrefix(name, l.prefix+folder)
	if !ok || len(digits) != positionDigits {
		return 0, false
	}
	var p Position
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		p = p*10 + Position(c-'0')
	}
	return p, p > 0
}

// ObjectID names a sealed object: 16 bytes of the SHA-256 of what is stored.
type ObjectID [16]byte

// String returns 32 hexadecimal digits, as in the object's name.
func (id ObjectID) String() string { return hex.EncodeToString(id[:]) }

// ParseObjectID reads what String wrote.
func ParseObjectID(s string) (ObjectID, error) {
	var id ObjectID
	if len(s) != 2*len(id) || s != strings.ToLower(s) {
		return id, fmt.Errorf("eventlog: object id %q is not 32 lower-case hexadecimal digits", s)
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ObjectID{}, fmt.Errorf("eventlog: object id %q is not 32 lower-case hexadecimal digits", s)
	}
	return id, nil
}

// ObjectName returns the name in the store of a sealed object, for listing and
// deleting. It does not check kind.
func (l *Log) ObjectName(kind string, id ObjectID) string {
	return l.prefix + kind + "/" + id.String()
}

func checkObjectKind(kind string) error {
	if len(kind) == 0 || len(kind) > MaxKind {
		return fmt.Errorf("eventlog: object kind %q: want 1 to %d bytes", kind, MaxKind)
	}
	for _, c := range []byte(kind) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Errorf("eventlog: object kind %q: byte %q is not of a-z and 0-9", kind, c)
		}
	}
	if kind+"/" == entryFolder || kind+"/" == snapshotFolder {
		return fmt.Errorf("eventlog: object kind %q is taken by the log itself", kind)
	}
	return nil
}

func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	folder, ok := strings.CutSuffix(prefix, "/")
	if !ok {
		return fmt.Errorf("eventlog: prefix %q does not end in a slash", prefix)
	}
	if err := blob.CheckName(folder); err != nil {
		return fmt.Errorf("eventlog: prefix: %w", err)
	}
	if room := blob.MaxName - MaxKind - 1 - 2*len(ObjectID{}); len(prefix) > room {
		return fmt.Errorf("eventlog: prefix of %d bytes is longer than %d", len(prefix), room)
	}
	return nil
}
