package observe

// words are the names of a list's values, from 0 on.
type words []string

func (w words) of(i uint8) string {
	if int(i) < len(w) {
		return w[i]
	}
	return "unknown"
}

// Result says how something ended.
type Result uint8

// Results. Which of them occur depends on what ended.
const (
	OK       Result = iota
	Taken           // a Create of a name that is there already
	Missing         // no such object
	Refused         // for good: no such account, message too large
	Failed          // trouble; what was asked for may be tried again
	Unknown         // it may have happened: the answer was lost
	Canceled        // whoever asked gave up
)

var results = words{"ok", "taken", "missing", "refused", "failed", "unknown", "canceled"}

// String returns the result as one word.
func (r Result) String() string { return results.of(uint8(r)) }

// Op is a method of the object store.
type Op uint8

// Ops.
const (
	Create Op = iota
	Open
	Stat
	List
	Delete
)

var ops = words{"create", "open", "stat", "list", "delete"}

// String returns the method as one word.
func (o Op) String() string { return ops.of(uint8(o)) }

// Ops returns all of them.
func Ops() []Op { return []Op{Create, Open, Stat, List, Delete} }

// Kind is a kind of object.
type Kind uint8

// Kinds.
const (
	KindOther Kind = iota
	KindBody
	KindEntry
	KindSnapshot
	KindPack
	KindSlot
	KindKey
	KindName
	KindWake
	KindStore
)

var kinds = words{"other", "body", "entry", "snapshot", "pack", "slot", "key", "name", "wake", "store"}

// String returns the kind as one word.
func (k Kind) String() string { return kinds.of(uint8(k)) }

// Protocol is how a client speaks.
type Protocol uint8

// Protocols.
const (
	IMAP Protocol = iota
	LMTP
)

var protocols = words{"imap", "lmtp"}

// String returns the protocol as one word.
func (p Protocol) String() string { return protocols.of(uint8(p)) }

// Change is what happened to a session.
type Change uint8

// Changes. Begun and Ended, IdleBegun and IdleEnded come in pairs.
const (
	Begun Change = iota
	Ended
	IdleBegun
	IdleEnded
	LoggedIn
	LoginRefused     // a wrong name or secret
	LoginFailed      // trouble
	ConnRefused      // too many connections, or a client that breaks the rules
	RecipientRefused // for good
	RecipientFailed  // trouble: to be tried again
)

var changes = words{
	"begun", "ended", "idle begun", "idle ended", "login", "login refused", "login failed",
	"connection refused", "recipient refused", "recipient failed",
}

// String returns the change in a word or two.
func (c Change) String() string { return changes.of(uint8(c)) }
