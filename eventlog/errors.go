package eventlog

import (
	"errors"
	"fmt"
)

// The errors that a caller branches on. Others are the store's, or a context's.
var (
	// ErrConflict: another entry has the position. Read what won, decide anew,
	// append again. Nothing of the failed append was or will be committed,
	// except when the entry there is the caller's own from an earlier append
	// that returned ErrUnknownOutcome.
	ErrConflict = errors.New("position is taken by another entry")

	// ErrUnknownOutcome: it could not be learned whether the entry is in the log;
	// it may be there already or appear later. Read, and look.
	ErrUnknownOutcome = errors.New("outcome is unknown")

	// ErrTrimmed: the entries after the head are gone, because the log was
	// trimmed while the caller stood still. Nothing was committed. Load the
	// newest snapshot and decide anew.
	ErrTrimmed = errors.New("log was trimmed beyond this position")

	// ErrRolledBack: the log is shorter than was seen before, or has another
	// entry at a position that was seen before.
	ErrRolledBack = errors.New("log was rolled back")

	// ErrCorrupt matches every [CorruptError] but those of ErrNewerVersion.
	ErrCorrupt = errors.New("log is corrupt")

	// ErrRekeyed: another identity took over the log, which this one does not know.
	ErrRekeyed = errors.New("log has another identity now")

	// ErrNotInEffect: the log has not gone over to the newest identity of the keys:
	// the change to it was not completed.
	ErrNotInEffect = errors.New("identity is not in effect in the log")

	// ErrOtherIdentity: a snapshot was sealed under another identity than the newest
	// of the keys. It is passed over.
	ErrOtherIdentity = errors.New("was sealed under another identity")

	// ErrForged: a Delivered entry of a closed epoch has no MAC, or a wrong one. It is
	// passed over.
	ErrForged = errors.New("was not delivered by who may deliver")

	// ErrUnsigned: a deliverer found the last entry without the MAC that it must have,
	// or no delivery key for its epoch, and adds nothing to it.
	ErrUnsigned = errors.New("end of the log is not authenticated")

	// ErrEnded: the log ended in a [Tombstone].
	ErrEnded = errors.New("log has ended")

	// ErrNewerVersion: an object is in a format that this version does not know.
	ErrNewerVersion = errors.New("written by a newer version")

	// ErrTooLarge: records, a snapshot or an object are over the limits.
	ErrTooLarge = errors.New("too large")

	// ErrSkip is returned (wrapped or not) by [Model.Apply] for a record of a
	// Delivered entry that makes no sense.
	ErrSkip = errors.New("record skipped")
)

var (
	errKeyless = errors.New("needs the keys of the log")
	errMissing = errors.New("object is missing")
)

// CorruptError says which object of a log is not what it must be. It matches
// [ErrCorrupt], or [ErrNewerVersion] if that is what is wrong.
type CorruptError struct {
	Op   string   // what was being done: "read", "check" ...
	Name string   // the object's whole name, the log's prefix included
	Pos  Position // its position, or 0 if it has none
	Err  error    // what is wrong with it
}

// Error names the operation, the object and what is wrong.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("eventlog: %s %s: %v", e.Op, e.Name, e.Err)
}

// Unwrap returns what is wrong with the object.
func (e *CorruptError) Unwrap() error { return e.Err }

// Is reports whether target is ErrCorrupt and the object is not simply newer.
func (e *CorruptError) Is(target error) bool {
	return target == ErrCorrupt && !errors.Is(e.Err, ErrNewerVersion)
}
