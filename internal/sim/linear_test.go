package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/letterlock/letterlock/mailbox"
)

// What the clients did and were told must be explained by one order of all
// operations in which each takes effect at one moment between its call and its
// answer: it must be linearizable. Two things are looked at: the next UID of each
// folder, which appends, deliveries and copies move on, and one message's flags
// under STORE UNCHANGEDSINCE, which is a register with compare-and-swap.

type opKind string

const (
	opAdd  opKind = "add"    // a message to a folder
	opNext opKind = "next"   // asks for UIDNEXT
	opRead opKind = "read"   // the register
	opSwap opKind = "change" // the register, if it was not changed since
)

type input struct {
	op     opKind
	folder string
	value  string         // to be written
	since  mailbox.ModSeq // of opSwap
}

type output struct {
	outcome outcome
	uid     mailbox.UID    // of opAdd, 0 if it was not told; UIDNEXT
	value   string         // that was read
	modseq  mailbox.ModSeq // that was read
	changed bool           // false: was changed since
}

// event is an operation with its place in time.
type event struct {
	in        input
	out       output
	call, ret int64
}

// never is later than everything.
const never = int64(1) << 62

func (l *ledger) begin(in input) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	l.history = append(l.history, event{in: in, out: output{outcome: unknown}, call: l.clock, ret: never})
	return len(l.history) - 1
}

func (l *ledger) end(e int, out output) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock++
	l.history[e].out = out
	if out.outcome != unknown {
		l.history[e].ret = l.clock
	}
}

// operations returns the history of one folder or register, as porcupine wants it.
func (l *ledger) operations(folder string) []porcupine.Operation {
	var ops []porcupine.Operation
	for _, e := range l.history {
		if e.in.folder == folder && e.out.outcome != refused {
			ops = append(ops, porcupine.Operation{Input: e.in, Output: e.out, Call: e.call, Return: e.ret})
		}
	}
	return ops
}

// uidModel is a folder's next UID.
func uidModel(first mailbox.UID) porcupine.NondeterministicModel {
	return porcupine.NondeterministicModel{
		Init: func() []any { return []any{first} },
		Step: func(state, in, out any) []any {
			next, i, o := state.(mailbox.UID), in.(input), out.(output)
			switch {
			case i.op == opNext && o.outcome == unknown:
				return []any{next}
			case i.op == opNext && o.uid == next:
				return []any{next}
			case i.op == opAdd && o.outcome == unknown:
				return []any{next, next + 1}
			case i.op == opAdd && (o.uid == 0 || o.uid == next):
				return []any{next + 1}
			}
			return nil
		},
	}
}

// register is the flags of one message. A writer is not told the MODSEQ that it
// made: after a write it is only known to be greater than the one before.
type register struct {
	value string
	known bool
	mod   mailbox.ModSeq // it, or if it is not known one that it is greater than
}

// registerModel is STORE UNCHANGEDSINCE.
func registerModel(first register) porcupine.NondeterministicModel {
	swap := func(r register, i input) []any {
		if r.known && r.mod > i.since || !r.known && r.mod >= i.since {
			return nil // it was changed since
		}
		if i.value == r.value {
			return []any{r} // nothing to do, and so nothing is written
		}
		return []any{register{value: i.value, mod: r.mod}}
	}
	return porcupine.NondeterministicModel{
		Init: func() []any { return []any{first} },
		Step: func(state, in, out any) []any {
			r, i, o := state.(register), in.(input), out.(output)
			switch {
			case i.op == opRead && o.outcome == unknown:
				return []any{r}
			case i.op == opRead:
				if o.value != r.value || r.known && o.modseq != r.mod || !r.known && o.modseq <= r.mod {
					return nil
				}
				return []any{register{r.value, true, o.modseq}}
			case o.outcome == unknown:
				return append(swap(r, i), r)
			case o.changed:
				return swap(r, i)
			case r.known && r.mod <= i.since:
				return nil // it was refused, and was not changed since
			}
			return []any{r}
		},
	}
}

// registerUID is the message that is the register, one of the template's.
const registerUID = 1

// registerFlags are what it may hold: two bits.
var registerFlags = [][]string{{}, {"$one"}, {"$two"}, {"$one", "$two"}}

// register reads the register and changes it if it was not changed since.
func (a *actor) register() {
	r, ok := a.readRegister()
	if !ok {
		return
	}
	ctx, cancel := a.context()
	defer cancel()
	v, ok := a.open(ctx, mailbox.Inbox)
	if !ok {
		return
	}
	defer v.Close()
	flags := registerFlags[a.rnd.IntN(len(registerFlags))]
	e := a.w.ledger.begin(input{op: opSwap, folder: "register", value: flagText(flags), since: r.modseq})
	modified, err := v.Store(ctx, mailbox.UIDs(registerUID), mailbox.FlagsSet, flags, mailbox.StoreOptions{UnchangedSince: &r.modseq})
	o := a.judge("change", err)
	if o == done && len(modified) > 0 {
		a.w.ledger.count("change lost")
	}
	a.w.ledger.end(e, output{outcome: o, changed: len(modified) == 0})
}

func (a *actor) readRegister() (output, bool) {
	e := a.w.ledger.begin(input{op: opRead, folder: "register"})
	out := output{outcome: unknown}
	defer func() { a.w.ledger.end(e, out) }()
	v, ok := a.open(a.ctx, mailbox.Inbox)
	if !ok {
		return out, false
	}
	defer v.Close()
	for m, err := range v.Messages(a.ctx, mailbox.UIDs(registerUID)) {
		if err != nil {
			a.fine(err)
			return out, false
		}
		out = output{outcome: done, value: flagText(m.Flags()), modseq: m.ModSeq}
	}
	return out, out.outcome == done
}

// count asks for UIDNEXT of a folder.
func (a *actor) count() {
	folder := folders[a.rnd.IntN(len(folders))]
	e := a.w.ledger.begin(input{op: opNext, folder: folder})
	out := output{outcome: unknown}
	if v, ok := a.open(a.ctx, folder); ok {
		out = output{outcome: done, uid: v.UIDNext()}
		v.Close()
	}
	a.w.ledger.end(e, out)
}

// linearizable reports what of the run is not, or could not be decided in time.
func (l *ledger) linearizable(firstUIDs map[string]mailbox.UID, first register) error {
	models := map[string]porcupine.NondeterministicModel{"register": registerModel(first)}
	for _, f := range folders {
		models[f] = uidModel(firstUIDs[f])
	}
	for name, m := range models {
		switch porcupine.CheckOperationsTimeout(m.ToModel(), l.operations(name), 20*time.Second) {
		case porcupine.Illegal:
			return fmt.Errorf("the history of %s is not linearizable", name)
		case porcupine.Unknown:
			return errUndecided
		}
	}
	return nil
}

var errUndecided = errors.New("not decided in time")
