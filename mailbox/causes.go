package mailbox

import (
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
)

// Errors of the packages below that reach callers of this one, so that an adapter
// needs to import no other.
var (
	// ErrBusy says that too many logins wait for a password derivation.
	ErrBusy = crypto.ErrBusy
	// ErrUnknownOutcome says that it is not known whether a change took effect.
	ErrUnknownOutcome = eventlog.ErrUnknownOutcome
	// ErrNewerVersion says that an object was written by a newer version.
	ErrNewerVersion = eventlog.ErrNewerVersion
	// ErrRolledBack says that the log lost its end.
	ErrRolledBack = eventlog.ErrRolledBack
	// ErrServerKey says that the store has a server key which this process lacks, or
	// lacks the one that this process has.
	ErrServerKey = crypto.ErrServerKey
	// ErrUnsigned says that mail cannot be added to an account, because no server with
	// the key led its name there, or somebody else wrote to its log.
	ErrUnsigned = eventlog.ErrUnsigned
	// ErrCorrupt says that an object is damaged.
	ErrCorrupt = eventlog.ErrCorrupt
	// ErrDecrypt says that an object cannot be decrypted with the account's keys.
	ErrDecrypt = crypto.ErrDecrypt
)
