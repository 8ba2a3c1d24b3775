package memblob

import (
	"math/rand/v2"
	"strings"

	"github.com/letterlock/letterlock/blob"
)

// node is an object and the tree below it: a treap, ordered by name from left
// to right and by prio from the root down, which keeps it flat whatever the
// order of arrival. No node changes once another or a Store points to it;
// insert and remove copy the path from the root to where they change something
// and share the rest.
type node struct {
	name        string
	data        []byte
	prio        uint64
	left, right *node
}

func newNode(name string, data []byte) *node {
	return &node{name: name, data: data, prio: rand.Uint64()}
}

func (t *node) info() blob.Info {
	return blob.Info{Name: t.name, Size: int64(len(t.data))}
}

// with returns a copy of t over other children.
func (t *node) with(left, right *node) *node {
	return &node{name: t.name, data: t.data, prio: t.prio, left: left, right: right}
}

func find(t *node, name string) *node {
	for t != nil && t.name != name {
		if name < t.name {
			t = t.left
		} else {
			t = t.right
		}
	}
	return t
}

// insert returns t with nd, whose name is not in t.
func insert(t, nd *node) *node {
	switch {
	case t == nil:
		return nd
	case nd.prio > t.prio:
		return nd.with(split(t, nd.name))
	case nd.name < t.name:
		return t.with(insert(t.left, nd), t.right)
	default:
		return t.with(t.left, insert(t.right, nd))
	}
}

// remove returns t without name, which is in t.
func remove(t *node, name string) *node {
	switch {
	case t.name == name:
		return merge(t.left, t.right)
	case name < t.name:
		return t.with(remove(t.left, name), t.right)
	default:
		return t.with(t.left, remove(t.right, name))
	}
}

// split returns the nodes of t before name and those after it. name is not in t.
func split(t *node, name string) (before, after *node) {
	if t == nil {
		return nil, nil
	}
	if t.name < name {
		l, r := split(t.right, name)
		return t.with(t.left, l), r
	}
	l, r := split(t.left, name)
	return l, t.with(r, t.right)
}

// merge returns the nodes of both, of which all in l come before all in r.
func merge(l, r *node) *node {
	switch {
	case l == nil:
		return r
	case r == nil:
		return l
	case l.prio > r.prio:
		return l.with(l.left, merge(l.right, r))
	default:
		return r.with(merge(l, r.left), r.right)
	}
}

// ascend calls visit for each node whose name begins with prefix and is greater
// than after, in order, until visit returns false; it returns false then.
func ascend(t *node, prefix, after string, visit func(*node) bool) bool {
	if t == nil {
		return true
	}
	low := t.name <= after || t.name < prefix // so is all that is left of t
	if !low && !ascend(t.left, prefix, after, visit) {
		return false
	}
	in := strings.HasPrefix(t.name, prefix)
	if !low && in && !visit(t) {
		return false
	}
	if !in && t.name > prefix {
		return true // past the last name with the prefix
	}
	return ascend(t.right, prefix, after, visit)
}
