package mailbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/letterlock/letterlock/mailbox/message"
)

// ThreadAlgorithm is a way to find conversations (RFC 5256).
type ThreadAlgorithm uint8

const (
	// ThreadOrderedSubject puts messages of one base subject into a thread: the
	// oldest, with all others below it.
	ThreadOrderedSubject ThreadAlgorithm = iota + 1
	// ThreadReferences follows References and In-Reply-To, and joins threads of
	// one base subject.
	ThreadReferences
)

// Thread is a message and what follows on it. UID is 0 where the message that
// would stand here is not among those found: its Children are siblings. Only a
// thread at the top is such.
type Thread struct {
	Found
	Children []*Thread
}

const (
	// maxThreadDepth is how many messages may follow on each other; those beyond
	// are siblings. Clients read threads by recursion.
	maxThreadDepth = 500
	// maxReferences is how many message IDs of one References field count: the
	// first, and the last ones.
	maxReferences = 50
	// maxPlaces is how many messages that are not there may be held a place for,
	// at about 150 bytes. Conversations beyond are joined by fewer of them.
	maxPlaces = 100_000
)

// Thread groups the messages of the view that match a query into conversations.
// Each message is in one of them, once, whatever its fields say. Threads and
// siblings are in the order of their sent dates, equal ones in that of their
// Index. No body is read but for a query that asks for one. It holds a few hundred
// bytes for each message found and each message referred to.
func (v *View) Thread(ctx context.Context, how ThreadAlgorithm, q *Query) ([]*Thread, error) {
	if how != ThreadOrderedSubject && how != ThreadReferences {
		return nil, fmt.Errorf("%w: thread algorithm %d is not known", ErrBadQuery, how)
	}
	a, err := v.use()
	if err != nil {
		return nil, err
	}
	defer a.leave()
	var all []*letter
	t := newThreader()
	for c, err := range v.find(ctx, a, q, func(int) {}) {
		if err != nil {
			return nil, err
		}
		l, refs, err := c.letter(ctx)
		if err != nil {
			return nil, err
		}
		if how == ThreadReferences {
			t.add(l, refs)
		} else {
			all = append(all, l)
		}
	}
	if how == ThreadOrderedSubject {
		return orderedSubject(all), nil
	}
	return t.finish(), nil
}

// letter is what threading knows of a message.
type letter struct {
	Found
	date    int64
	subject string // base subject, as it is compared
	reply   bool
}

func (l *letter) compare(o *letter) int {
	return cmp.Or(cmp.Compare(l.date, o.date), cmp.Compare(l.Index, o.Index))
}

// messageIDs are what a message calls itself and those it follows on.
type messageIDs struct {
	own  string
	refs []string // the direct parent last
}

func (c *candidate) letter(ctx context.Context) (*letter, messageIDs, error) {
	h, _, err := c.m.header(ctx)
	if err != nil {
		return nil, messageIDs{}, err
	}
	f := h.First("Date", "Subject", "Message-ID", "References", "In-Reply-To")
	base, reply := message.BaseSubject(f[1])
	l := &letter{Found: c.found(), date: sentDate(f[0], c.m.Date), subject: sortText(base), reply: reply}
	return l, readMessageIDs(f[2], f[3], f[4]), nil
}

func readMessageIDs(own, references, inReplyTo string) (ids messageIDs) {
	ids.own = strings.Join(message.AppendMessageIDs(nil, own, 1), "")
	ids.refs = message.AppendMessageIDs(nil, references, len(references))
	if n := len(ids.refs) - maxReferences; n > 0 {
		ids.refs = slices.Delete(ids.refs, 1, 1+n)
	}
	if len(ids.refs) == 0 {
		// Only the first: many write more into the field than they answer.
		ids.refs = message.AppendMessageIDs(nil, inReplyTo, 1)
	}
	return ids
}

// orderedSubject is RFC 5256's THREAD=ORDEREDSUBJECT.
func orderedSubject(all []*letter) []*Thread {
	slices.SortFunc(all, func(a, b *letter) int { return cmp.Or(cmp.Compare(a.subject, b.subject), a.compare(b)) })
	type thread struct {
		*Thread
		first *letter
	}
	var threads []thread
	for i, l := range all {
		t := &Thread{Found: l.Found}
		if i > 0 && all[i-1].subject == l.subject {
			top := threads[len(threads)-1]
			top.Children = append(top.Children, t)
			continue
		}
		threads = append(threads, thread{t, l})
	}
	slices.SortFunc(threads, func(a, b thread) int { return a.first.compare(b.first) })
	out := make([]*Thread, len(threads))
	for i, t := range threads {
		out[i] = t.Thread
	}
	return out
}

// idHash stands for a message ID, so that long ones cost no more than short ones.
type idHash [16]byte

func hashID(id string) idHash {
	sum := sha256.Sum256([]byte(id))
	return idHash(sum[:16])
}

// node is a message, or a place for one that was only referred to.
type node struct {
	letter   *letter // nil: not among those found
	parent   *node
	below    int     // how many have this parent
	children []*node // the same, once all are known
}

// threader is RFC 5256's THREAD=REFERENCES; the numbers of its steps stand beside
// the code.
type threader struct {
	byID   map[idHash]*node
	nodes  []*node
	places int
}

func newThreader() *threader { return &threader{byID: map[idHash]*node{}} }

func (t *threader) make(l *letter) *node {
	n := &node{letter: l}
	t.nodes = append(t.nodes, n)
	return n
}

// add takes a message (step 1).
func (t *threader) add(l *letter, ids messageIDs) {
	var n *node
	if own := hashID(ids.own); ids.own == "" {
		n = t.make(l)
	} else if n = t.byID[own]; n == nil {
		n = t.make(l)
		t.byID[own] = n
	} else if n.letter == nil {
		n.letter = l
		t.places--
	} else {
		n = t.make(l) // a second message of that ID is known by none
	}
	// 1.A: those it refers to follow on each other, unless they are known to
	// follow on something else.
	var last *node
	for _, id := range ids.refs {
		ref := t.place(id)
		if ref == nil {
			continue
		}
		if last != nil && ref.parent == nil && mayFollow(ref, last) {
			ref.follow(last)
		}
		last = ref
	}
	// 1.B: what the message itself says counts more than what others said.
	if last == nil {
		n.leave()
	} else if mayFollow(n, last) {
		n.leave()
		n.follow(last)
	}
}

// place returns the node of a message ID, nil if there are too many.
func (t *threader) place(id string) *node {
	h := hashID(id)
	n := t.byID[h]
	if n == nil && t.places < maxPlaces {
		t.places++
		n = t.make(nil)
		t.byID[h] = n
	}
	return n
}

// mayFollow reports whether child may be put below parent without making a
// circle. A chain that is too long to be looked through is taken for one.
func mayFollow(child, parent *node) bool {
	if child == parent {
		return false
	}
	if child.below == 0 {
		return true
	}
	steps := 0
	for n := parent; n != nil; n = n.parent {
		if steps++; n == child || steps > 2*maxThreadDepth {
			return false
		}
	}
	return true
}

func (n *node) follow(parent *node) {
	n.parent = parent
	parent.below++
}

func (n *node) leave() {
	if n.parent != nil {
		n.parent.below--
		n.parent = nil
	}
}

// adopt puts a node among the children.
func (n *node) adopt(c *node) {
	c.parent = n
	n.children = append(n.children, c)
}

// finish returns the threads (steps 2 to 6).
func (t *threader) finish() []*Thread {
	root := &node{}
	for _, n := range t.nodes { // step 2
		if n.parent == nil {
			n.parent = root
		}
		n.parent.adopt(n)
	}
	t.byID, t.nodes = nil, nil
	root.prune()
	root.sort()
	root.joinSubjects()
	root.flatten()
	root.sort()
	return root.threads()
}

// walk returns all nodes below n, parents first, without recursion: a chain may be
// as long as the mailbox.
func (n *node) walk() []*node {
	order := slices.Clone(n.children)
	for i := 0; i < len(order); i++ {
		order = append(order, order[i].children...)
	}
	return order
}

// prune takes out places without a message (step 3): their children go one up,
// but at the top only an only child does.
func (n *node) prune() {
	order := n.walk()
	for _, d := range slices.Backward(order) { // children first
		kept := d.children[:0:0]
		for _, c := range d.children {
			switch {
			case c.letter != nil:
				kept = append(kept, c)
			default: // empty and below another: its children move up
				for _, g := range c.children {
					g.parent = d
				}
				kept = append(kept, c.children...)
			}
		}
		d.children = kept
	}
	top := n.children[:0:0]
	for _, d := range n.children {
		switch {
		case d.letter == nil && len(d.children) == 0:
		case d.letter == nil && len(d.children) == 1:
			d.children[0].parent = n
			top = append(top, d.children[0])
		default:
			top = append(top, d)
		}
	}
	n.children = top
}

// first returns the message that a thread is sorted and named by: its own, or its
// first child's, which is one always.
func (n *node) first() *letter {
	if n.letter == nil {
		return n.children[0].letter
	}
	return n.letter
}

// sort puts siblings in the order of their dates (steps 4 and 6).
func (n *node) sort() {
	order := append([]*node{n}, n.walk()...)
	for _, d := range slices.Backward(order) { // children first
		slices.SortFunc(d.children, func(a, b *node) int { return a.first().compare(b.first()) })
	}
}

// joinSubjects joins threads of one base subject (step 5).
func (n *node) joinSubjects() {
	table := map[string]*node{}
	for _, d := range n.children { // 5.B
		s := d.first().subject
		if s == "" {
			continue
		}
		has := table[s]
		if has == nil || d.letter == nil && has.letter != nil ||
			has.letter != nil && d.letter != nil && has.letter.reply && !d.letter.reply {
			table[s] = d
		}
	}
	top := n.children[:0:0]
	for _, d := range n.children { // 5.C
		s := d.first().subject
		has := table[s]
		switch {
		case s == "" || has == d:
			top = append(top, d)
		case d.letter == nil && has.letter == nil: // both without a message: one place for all
			for _, c := range d.children {
				has.adopt(c)
			}
		case has.letter == nil || d.letter.reply && !has.letter.reply:
			has.adopt(d)
		default: // neither answers the other: siblings below a new place
			was := *has
			for _, c := range was.children {
				c.parent = &was
			}
			*has = node{parent: n}
			has.adopt(&was)
			has.adopt(d)
		}
	}
	n.children = top
}

// flatten makes siblings of what is too deep.
func (n *node) flatten() {
	type at struct {
		*node
		depth int
	}
	var queue []at
	for _, c := range n.children {
		queue = append(queue, at{c, 1})
	}
	for len(queue) > 0 {
		d := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		if d.depth == maxThreadDepth-1 {
			all := d.walk()
			for _, c := range all {
				c.parent, c.children = d.node, nil
			}
			d.children = all
			continue
		}
		for _, c := range d.children {
			queue = append(queue, at{c, d.depth + 1})
		}
	}
}

// threads returns the children, which are at most maxThreadDepth deep.
func (n *node) threads() []*Thread {
	if len(n.children) == 0 {
		return nil
	}
	out := make([]*Thread, len(n.children))
	for i, c := range n.children {
		t := &Thread{Children: c.threads()}
		if c.letter != nil {
			t.Found = c.letter.Found
		}
		out[i] = t
	}
	return out
}
