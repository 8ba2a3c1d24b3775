package mailbox

import (
	"context"
	"slices"
)

// Committed is what came of one Appender.
type Committed struct {
	Appended []Appended
	Err      error
}

// CommitAll commits Appenders of one account in the order given, each all or none, as
// their [Appender.Commit] would one after the other. Those that follow each other to
// one mailbox share a log entry, and so a round trip.
func CommitAll(ctx context.Context, all []*Appender) []Committed {
	var out []Committed
	for len(all) > 0 {
		n := 1
		for messages, meta := len(all[0].staged), all[0].meta; n < len(all); n++ {
			messages, meta = messages+len(all[n].staged), meta+all[n].meta
			if !all[0].alike(all[n]) || messages > MaxAppend || meta > maxAppendMeta {
				break
			}
		}
		out = append(out, commitTogether(ctx, all[:n])...)
		all = all[n:]
	}
	return out
}

// alike reports whether two Appenders may share an entry.
func (p *Appender) alike(q *Appender) bool {
	return p.handle == q.handle && p.mailbox == q.mailbox && p.replace == nil && q.replace == nil && !p.over && !q.over
}

func commitTogether(ctx context.Context, all []*Appender) []Committed {
	out := make([]Committed, len(all))
	if len(all) > 1 {
		sum := &Appender{handle: all[0].handle, mailbox: all[0].mailbox, shared: true}
		for _, p := range all {
			sum.staged = append(sum.staged, p.staged...)
		}
		done, err := sum.Commit(ctx)
		if err == nil || !sum.refused {
			for i, p := range all {
				if notCommitted(err) {
					p.Abort(ctx)
				}
				p.over, out[i].Err = true, err
				if err == nil {
					out[i].Appended = slices.Clone(done[:len(p.staged)])
					done = done[len(p.staged):]
				}
			}
			return out
		}
		// One of them does not fit, and the others shall not suffer.
	}
	for i, p := range all {
		out[i].Appended, out[i].Err = p.Commit(ctx)
	}
	return out
}
