package sim

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/blob"
	"github.com/letterlock/letterlock/mailbox"
)

// verifier runs the clients, and then looks whether every promise was kept.
type verifier struct {
	w       *world
	start   *start
	readers []*actor
}

func (v *verifier) run() {
	w := v.w
	w.first = v.start
	for i := range 2 + w.rnd.IntN(2) {
		w.procs = append(w.procs, &process{w: w, name: fmt.Sprintf("p%d", i+1), starting: make(chan struct{}, 1)})
	}
	mta := &process{w: w, name: "mta", keyless: true, starting: make(chan struct{}, 1)}
	steps := 8 + w.rnd.IntN(16)
	for i, p := range w.procs {
		for j := range 1 + w.rnd.IntN(2) {
			a := newActor(w, fmt.Sprintf("reader%d%c", i+1, 'a'+j), p, uint64(100*i+j+1))
			v.readers = append(v.readers, a)
			w.clients.Go(func() { a.reader(steps) })
		}
	}
	w.procs = append(w.procs, mta)
	for i, p := range []*process{mta, mta, w.procs[0]} {
		a := newActor(w, fmt.Sprintf("deliverer%d", i+1), p, uint64(9000+i))
		w.clients.Go(func() { a.deliverer(steps / 2) })
	}
	go v.end()
	w.run()
	if !w.t.Failed() {
		v.verify()
	}
}

// end waits for the clients and ends the processes, in good order unless they are
// dead. Nothing bad happens then.
func (v *verifier) end() {
	w := v.w
	w.clients.Wait()
	w.mu.Lock()
	w.calm = true
	w.tell("the clients are gone")
	for len(w.late) > 0 { // what is still on its way arrives now or never
		if w.rnd.IntN(2) == 0 {
			w.landLate()
		} else {
			w.late = w.late[1:]
		}
	}
	w.mu.Unlock()
	w.wake()
	for _, a := range v.readers {
		a.finish()
	}
	for _, p := range w.procs {
		p.stop()
	}
	w.closers.Wait()
	w.mu.Lock()
	w.done = true
	w.mu.Unlock()
	w.wake()
}

// verify looks at the store without the world around it.
func (v *verifier) verify() {
	w := v.w
	ctx := context.Background()
	have := v.settle()
	s, acct := v.open(w.mem, have)
	defer s.Close()
	defer acct.Close()
	found := map[string][]standing{}
	now, boxes := v.dump(acct, found)
	w.ledger.compare(found)
	for _, a := range v.readers {
		if a.view != nil {
			w.ledger.count("pictures compared")
			v.comparePicture(a, boxes[a.view.folder])
		}
	}
	problem := func(p mailbox.Problem) {
		if !p.Harmless {
			w.t.Errorf("seed %d: check: %v", w.seed, p)
		}
	}
	_, err := s.Check(ctx, problem)
	v.must(err)
	_, err = acct.Check(ctx, problem)
	v.must(err)
	v.secrets(s, acct, have)
	v.replay(now, have)
	v.erase(acct, now)
	v.rotateAgain(acct, have, now)
}

// erase asserts that collections a grace time apart erase all that no mailbox has,
// and nothing else.
func (v *verifier) erase(acct *mailbox.Account, want string) {
	ctx := context.Background()
	for range 3 {
		rep, err := acct.Collect(ctx, mailbox.CollectOptions{})
		v.must(err)
		v.w.ledger.countBy("objects erased in the end", rep.Deleted)
		v.w.hours(25)
	}
	if got, _ := v.dump(acct, map[string][]standing{}); got != want {
		v.w.t.Errorf("seed %d: after collections the account is\n%s, not\n%s", v.w.seed, got, want)
	}
	_, err := acct.Check(ctx, func(p mailbox.Problem) {
		if !p.Harmless || strings.Contains(p.Object, "/body/") {
			v.w.t.Errorf("seed %d: check after collections: %v", v.w.seed, p)
		}
	})
	v.must(err)
}

func (v *verifier) must(err error) {
	if err != nil {
		v.w.t.Errorf("seed %d: %v", v.w.seed, err)
	}
}

// options are those of a process on its own.
func (v *verifier) options() mailbox.Options {
	return mailbox.Options{Now: v.w.now, PollInterval: -1, Password: passwordParams, Pool: v.w.pool}
}

// open opens the account of a storage on which nothing goes wrong.
func (v *verifier) open(blobs blob.Store, have *secret) (*mailbox.Store, *mailbox.Account) {
	ctx := context.Background()
	s, err := mailbox.Open(ctx, blobs, v.options())
	if err == nil {
		var a *mailbox.Account
		if a, err = s.OpenAccount(ctx, user, have.identity); err == nil {
			return s, a
		}
	}
	v.w.t.Errorf("seed %d: open: %v", v.w.seed, err)
	v.w.t.FailNow()
	return nil, nil
}

// dump returns all that a client can see of an account but the messages' text,
// which it compares with what it must be. It adds what it found where to found, if
// that is not nil.
func (v *verifier) dump(acct *mailbox.Account, found map[string][]standing) (string, map[string][]pictured) {
	ctx := context.Background()
	var out strings.Builder
	boxes := map[string][]pictured{}
	infos, err := acct.Mailboxes(ctx)
	v.must(err)
	for _, info := range infos {
		v.w.ledger.folder(info.ID, info.UIDValidity)
		fmt.Fprintf(&out, "%+v\n", info)
		view, err := acct.Select(ctx, info.Name, true)
		if err != nil {
			v.must(err)
			continue
		}
		last := mailbox.UID(0)
		for m, err := range view.Messages(ctx, mailbox.All()) {
			if err != nil {
				v.must(err)
				break
			}
			if m.UID <= last || m.UID >= view.UIDNext() {
				v.w.t.Errorf("seed %d: UID %d after %d in %s, UIDNEXT %d", v.w.seed, m.UID, last, info.Name, view.UIDNext())
			}
			last = m.UID
			v.w.ledger.saw(info.UIDValidity, m.UID, m.ID)
			flags := flagText(m.Flags())
			fmt.Fprintf(&out, "  %d %d %d %v %v %s %s\n", m.UID, m.ModSeq, m.Size, m.Date, m.Saved, m.ID, flags)
			boxes[info.Name] = append(boxes[info.Name], pictured{m.UID, flags})
			if found != nil {
				id := v.read(m)
				if info.Name == mailbox.Inbox && m.UID == registerUID {
					flags = "" // linearizable looks at them
				}
				found[id] = append(found[id], standing{info.Name, m.UID, flags})
			}
		}
		if n := len(boxes[info.Name]); n != info.Messages {
			v.w.t.Errorf("seed %d: %s has %d messages and says %d", v.w.seed, info.Name, n, info.Messages)
		}
		view.Close()
	}
	return out.String(), boxes
}

// read returns which message it is, and asserts that its bytes are those written.
func (v *verifier) read(m *mailbox.Message) string {
	r, err := m.Open(context.Background(), 0, -1)
	if err != nil {
		v.must(err)
		return ""
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	v.must(err)
	_, rest, _ := strings.Cut(string(data), "Subject: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	if string(data) != letter(id) {
		v.w.t.Errorf("seed %d: %s has other bytes than were written", v.w.seed, id)
	}
	return id
}

// comparePicture asserts that what a client was told adds up to what is there.
func (v *verifier) comparePicture(a *actor, have []pictured) {
	if !slices.Equal(a.view.picture, have) {
		v.w.t.Errorf("seed %d: %s believes that %s has %v; it has %v", v.w.seed, a.name, a.view.folder, a.view.picture, have)
	}
}

// replay asserts that the log from its beginning, and each snapshot that there
// ever was with the entries after it, add up to the same.
func (v *verifier) replay(want string, have *secret) {
	ctx := context.Background()
	v.must(v.lastKeys())
	all := v.w.archive.objects
	snaps := map[string]bool{"": true} // "" is none: from the beginning
	for info := range all.List(ctx, "acct/", "") {
		if strings.Contains(info.Name, "/snap/") {
			snaps[info.Name] = true
		}
	}
	v.w.count["snapshots"] += len(snaps) - 1
	for _, keep := range slices.Sorted(maps.Keys(snaps)) {
		blobs := all.Clone()
		for name := range snaps {
			if name != keep && name != "" {
				v.must(blobs.Delete(ctx, name))
			}
		}
		s, acct := v.open(blobs, have)
		if got, _ := v.dump(acct, nil); got != want {
			v.w.t.Errorf("seed %d: from %q the log adds up to\n%s, not to\n%s", v.w.seed, keep, got, want)
		}
		v.must(acct.Close())
		v.must(s.Close())
	}
	for info := range all.List(ctx, "acct/", "") {
		if _, err := v.w.mem.Stat(ctx, info.Name); err != nil && strings.Contains(info.Name, "/log/") {
			v.w.count["trimmed entries"]++
		}
	}
	v.w.count["strays"] += v.w.archive.strays
}
