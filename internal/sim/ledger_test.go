package sim

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/mailbox"
)

// ledger is what the clients were told, and what follows from it.
type ledger struct {
	w *world

	mu       sync.Mutex // protects what follows
	copies   []*copied
	places   map[place]mailbox.EmailID
	folders  map[mailbox.MailboxID]uint32
	validity map[uint32]mailbox.MailboxID
	history  []event
	clock    int64
	outcomes map[string]int
}

// place is where no two messages ever are.
type place struct {
	validity uint32
	uid      mailbox.UID
}

// copied is one message in one mailbox, as its client knows it: one of several
// things is so.
type copied struct {
	id  string
	may []standing
}

// standing is one of the things that may be so.
type standing struct {
	folder string      // "" if it is not there
	uid    mailbox.UID // 0 if it is not known
	flags  string
}

// sure returns where a message is, if that is known for sure.
func (c *copied) sure() (standing, bool) {
	if len(c.may) == 1 && c.may[0].folder != "" && c.may[0].uid != 0 {
		return c.may[0], true
	}
	return standing{}, false
}

// add notes a message.
func (l *ledger) add(id string, may ...standing) *copied {
	c := &copied{id, may}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.copies = append(l.copies, c)
	return c
}

// saw notes that a message was seen in, or acknowledged at, a place.
func (l *ledger) saw(validity uint32, uid mailbox.UID, id mailbox.EmailID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{validity, uid}
	if other, ok := l.places[at]; ok && other != id {
		l.w.t.Errorf("seed %d: UID %d of %d was given to two messages", l.w.seed, uid, validity)
	}
	l.places[at] = id
}

// folder notes a mailbox's UIDVALIDITY.
func (l *ledger) folder(id mailbox.MailboxID, validity uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if was, ok := l.folders[id]; ok && was != validity {
		l.w.t.Errorf("seed %d: UIDVALIDITY of mailbox %d moved from %d to %d", l.w.seed, id, was, validity)
	}
	if other, ok := l.validity[validity]; ok && other != id {
		l.w.t.Errorf("seed %d: UIDVALIDITY %d has mailbox %d and mailbox %d", l.w.seed, validity, other, id)
	}
	l.folders[id], l.validity[validity] = validity, id
}

// count counts an outcome.
func (l *ledger) count(what string) { l.countBy(what, 1) }

func (l *ledger) countBy(what string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[what] += n
}

// compare asserts that the messages found are what may be so.
func (l *ledger) compare(found map[string][]standing) {
	byID := map[string][]*copied{}
	for _, c := range l.copies {
		byID[c.id] = append(byID[c.id], c)
	}
	for id, copies := range byID {
		if !explains(copies, found[id]) {
			var may []string
			for _, c := range copies {
				may = append(may, fmt.Sprint(c.may))
			}
			l.w.t.Errorf("seed %d: %s is at %v, but must be at one of each of %s", l.w.seed, id, found[id], strings.Join(may, " and "))
		}
		delete(found, id)
	}
	for id, at := range found {
		l.w.t.Errorf("seed %d: nobody wrote %s, which is at %v", l.w.seed, id, at)
	}
}

// explains reports whether one of the possibilities of each copy gives exactly
// what was found.
func explains(copies []*copied, found []standing) bool {
	if len(copies) == 0 {
		return len(found) == 0
	}
	for _, s := range copies[0].may {
		if s.folder == "" {
			if explains(copies[1:], found) {
				return true
			}
			continue
		}
		for i, f := range found {
			if f.folder == s.folder && f.flags == s.flags && (s.uid == 0 || s.uid == f.uid) &&
				explains(copies[1:], slices.Delete(slices.Clone(found), i, i+1)) {
				return true
			}
		}
	}
	return false
}

// archive keeps every object that there ever was.
type archive struct {
	objects *memblob.Store
	strays  int
}

func (a *archive) add(name string, data []byte) {
	// The first at a position of the log is the one that counts: what comes to
	// stand there after it was trimmed is a stray.
	if a.objects.Create(context.Background(), name, bytes.NewReader(data)) != nil {
		a.strays++
	}
}
