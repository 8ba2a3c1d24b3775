package search

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
	// maxPlaceholders is how many messages that are not there may have a node, of
	// about 150 bytes. Conversations beyond are joined by fewer of them.
	maxPlaceholders = 100_000
)

// Threader groups messages into conversations. It holds a few hundred bytes for each
// message and each message referred to.
type Threader struct {
	how  ThreadAlgorithm
	all  []*threaded // of ThreadOrderedSubject
	refs *references // of ThreadReferences
}

// NewThreader returns a Threader. It fails with [ErrBadQuery].
func NewThreader(how ThreadAlgorithm) (*Threader, error) {
	if how != ThreadOrderedSubject && how != ThreadReferences {
		return nil, fmt.Errorf("%w: thread algorithm %d is not known", ErrBadQuery, how)
	}
	return &Threader{how: how, refs: newReferences()}, nil
}

// Add takes a message. It reads kept metadata and no body.
func (t *Threader) Add(ctx context.Context, c *Candidate) error {
	h, _, err := c.Source.Header(ctx)
	if err != nil {
		return err
	}
	f := h.First("Date", "Subject", "Message-ID", "References", "In-Reply-To")
	base, reply := message.BaseSubject(h.Decode(f[1]))
	m := &threaded{Found: c.Found, date: sentDate(f[0], c.Date), subject: sortText(base), reply: reply}
	if t.how == ThreadReferences {
		t.refs.add(m, readMessageIDs(f[2], f[3], f[4]))
	} else {
		t.all = append(t.all, m)
	}
	return nil
}

// Threads returns the conversations. Each message is in one of them, once. Threads and
// siblings are in the order of their sent dates, equal ones in that of their Index.
func (t *Threader) Threads() []*Thread {
	if t.how == ThreadOrderedSubject {
		return orderedSubject(t.all)
	}
	return t.refs.finish()
}

// threaded is what threading knows of a message.
type threaded struct {
	Found
	date    int64
	subject string // base subject, as it is compared
	reply   bool
}

func (m *threaded) compare(o *threaded) int {
	return cmp.Or(cmp.Compare(m.date, o.date), cmp.Compare(m.Index, o.Index))
}

// RootID returns the message ID that names the conversation of a message: the first of
// its References, else of its In-Reply-To, else its own; empty if it has none.
func RootID(h message.Header) string {
	f := h.First("Message-ID", "References", "In-Reply-To")
	ids := readMessageIDs(f[0], f[1], f[2])
	if len(ids.refs) > 0 {
		return ids.refs[0]
	}
	return ids.own
}

// messageIDs are what a message calls itself and those it follows on.
type messageIDs struct {
	own  string
	refs []string // the direct parent last
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
func orderedSubject(all []*threaded) []*Thread {
	slices.SortFunc(all, func(a, b *threaded) int { return cmp.Or(cmp.Compare(a.subject, b.subject), a.compare(b)) })
	type thread struct {
		*Thread
		first *threaded
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

// node is a message, or a placeholder for one that was only referred to.
type node struct {
	message  *threaded // nil: not among those found
	parent   *node
	below    int     // how many have this parent
	children []*node // the same, once all are known
}

// references is RFC 5256's THREAD=REFERENCES; the numbers of its steps stand beside
// the code.
type references struct {
	byID         map[idHash]*node
	nodes        []*node
	placeholders int
}

func newReferences() *references { return &references{byID: map[idHash]*node{}} }

func (t *references) make(m *threaded) *node {
	n := &node{message: m}
	t.nodes = append(t.nodes, n)
	return n
}

// add takes a message (step 1).
func (t *references) add(m *threaded, ids messageIDs) {
	var n *node
	if own := hashID(ids.own); ids.own == "" {
		n = t.make(m)
	} else if n = t.byID[own]; n == nil {
		n = t.make(m)
		t.byID[own] = n
	} else if n.message == nil {
		n.message = m
		t.placeholders--
	} else {
		n = t.make(m) // a second message of that ID is known by none
	}
	// 1.A: those it refers to follow on each other, unless they are known to
	// follow on something else. What a message says of itself counts for nothing.
	var last *node
	for _, id := range ids.refs {
		ref := t.node(id)
		if ref == nil || ref == n {
			continue
		}
		if last != nil && ref.parent == nil && mayFollow(ref, last) {
			ref.follow(last)
		}
		last = ref
	}
	// 1.B: what the message itself says counts more than what others said. The link
	// that they made is broken first: it goes also if the new one cannot be made.
	n.leave()
	if last != nil && mayFollow(n, last) {
		n.follow(last)
	}
}

// node returns the node of a message ID, nil if there are too many.
func (t *references) node(id string) *node {
	h := hashID(id)
	n := t.byID[h]
	if n == nil && t.placeholders < maxPlaceholders {
		t.placeholders++
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
func (t *references) finish() []*Thread {
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

// prune takes out placeholders (step 3): their children go one up,
// but at the top only an only child does.
func (n *node) prune() {
	order := n.walk()
	for _, d := range slices.Backward(order) { // children first
		kept := d.children[:0:0]
		for _, c := range d.children {
			switch {
			case c.message != nil:
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
		case d.message == nil && len(d.children) == 0:
		case d.message == nil && len(d.children) == 1:
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
func (n *node) first() *threaded {
	if n.message == nil {
		return n.children[0].message
	}
	return n.message
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
		if has == nil || d.message == nil && has.message != nil ||
			has.message != nil && d.message != nil && has.message.reply && !d.message.reply {
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
		case d.message == nil && has.message == nil: // both without a message: one place for all
			for _, c := range d.children {
				has.adopt(c)
			}
		case has.message == nil || d.message.reply && !has.message.reply:
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
		if c.message != nil {
			t.Found = c.message.Found
		}
		out[i] = t
	}
	return out
}
