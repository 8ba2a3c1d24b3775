// Package wire reads the commands of IMAP clients and writes the answers: syntax
// and nothing else. It does no I/O, knows no mailbox, and has no idea of go-imap.
//
//	bytes of one command --> Parser --> Select, Fetch, Search ...
//	                                       ... --> Encoder --> bytes of responses
//
// A [Parser] is given one whole command, framed by the guard: lines and literals
// as the client sent them, each literal in its {n+} form. Its methods read one
// thing of the grammar each (RFC 9051 section 9) and after the first mistake all
// of them return zero values, so that a command is read without asking after each
// word; [Parser.End] says what was wrong. Reading is strict: one space where the
// grammar has one, no empty lists where it has none, numbers in range. What is
// nested is nested at most [MaxDepth] deep, and nothing is allocated that is not
// in proportion to the command.
//
// An [Encoder] appends responses to a buffer and never fails.
//
// To add a command: a struct for what it says, a function func(*Parser) that fills
// it in, and seeds for the fuzz target in testdata.
package wire

// MaxDepth is how deep search keys, lists and sections may be nested.
const MaxDepth = 64

// Bounds of what one command may list. A megabyte of flags or of header fields
// could ask for hours of work; sets of messages are only bounded by the command.
const (
	maxList  = 1000 // elements of one list, and names of header fields of one FETCH
	maxFlags = 200  // a mailbox knows 56 keywords
)

// Error is a mistake in what a client sent. Text is what it is told after BAD.
type Error struct{ Text string }

func (e *Error) Error() string { return "imap syntax: " + e.Text }
