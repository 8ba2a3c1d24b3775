package mailbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/golden"
	"github.com/letterlock/letterlock/mailbox/internal/layout"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
)

// tamperWorld is a store in which two accounts have a bit of everything, and what
// their owners read in it.
type tamperWorld struct {
	clock  *handClock
	blobs  *memblob.Store
	prefix string // of ann's objects
	bob    string // of bob's
	ids    map[string]string
	token  string
	want   map[string]map[string]string // account -> message -> all of it
	heads  Heads
	// targets are what is tampered with: an object of ann's, a sibling of it, an
	// older one of its kind, one of bob's, and a free name. Empty where there is none.
	targets []tamperTarget
}

type tamperTarget struct {
	block                             pack.Ref // of a pack, that is in use
	kind                              string
	name, sibling, older, other, free string
	old                               []byte // an object that is not in the store any more
	with                              string // how ann logs in: identity, password, token
}

func newTamperWorld(t *testing.T) *tamperWorld {
	ctx := t.Context()
	damages(t)
	w := &tamperWorld{clock: newClock(), blobs: memblob.New(), ids: map[string]string{}, want: map[string]map[string]string{}}
	s := openAt(t, w.blobs, w.clock)
	var revoked []byte
	for _, name := range []string{"bob", "ann"} {
		a := newUser(t, s, name)
		round := func() {
			for i := range 2 {
				add(t, a, i)
				require.NoError(t, a.Create(ctx, fmt.Sprintf("box%d", a.account.state().At)))
			}
			require.NoError(t, s.Deliver(ctx, []Recipient{{Account: name}}, strings.NewReader(mail(7)))[0])
			require.NoError(t, a.account.catchUp(ctx))
			_, err := selectInbox(t, a).Copy(ctx, All(), a.account.state().Mailboxes[1].Name)
			require.NoError(t, err)
		}
		round()
		_, err := a.RotateIdentity(ctx, []byte("secret of "+name)) // and a snapshot
		require.NoError(t, err)
		a = login(t, s, name)
		old, err := a.AddToken(ctx, "lost")
		require.NoError(t, err)
		revoked, err = layout.ReadAll(ctx, w.blobs, a.account.prefix+tokenSlots+old.Slot().String(), maxSlot)
		require.NoError(t, err)
		require.NoError(t, a.RevokeToken(ctx, old.Slot().String()))
		token, err := a.AddToken(ctx, "phone")
		require.NoError(t, err)
		w.token = token.Export()
		round()
		require.NoError(t, snapshotNow(ctx, a.account))
		// What follows the newest snapshot: two deliveries and two entries of the owner's.
		for i := range 2 {
			require.NoError(t, s.Deliver(ctx, []Recipient{{Account: name}}, strings.NewReader(mail(8+i)))[0])
			require.NoError(t, a.account.catchUp(ctx))
			add(t, a, 10+i)
		}
		b := someMark(t, w.clock)
		_, err = a.account.log.PutObject(ctx, layout.KindMark, b)
		require.NoError(t, err)
		_, err = a.account.log.PutObject(ctx, layout.KindMark, b)
		require.NoError(t, err)
		w.ids[name], err = a.Recovery()
		require.NoError(t, err)
		w.want[name], _ = w.read(t, a)
		if name == "ann" {
			w.prefix = a.account.prefix
		} else {
			w.bob = a.account.prefix
		}
	}
	require.NoError(t, s.CreateAccount(ctx, "carl", []byte("x")))
	require.NoError(t, s.DeleteAccount(ctx, "carl"))
	rep, err := s.Check(ctx, func(p Problem) { require.True(t, p.Harmless, "%v", p) })
	require.NoError(t, err)
	w.heads = rep.Heads
	w.aim(t, s, revoked)
	return w
}

// someMark returns what a mark holds, of another store's account.
func someMark(t *testing.T, clock *handClock) []byte {
	a := newUser(t, openAt(t, memblob.New(), clock), "dora")
	_, err := a.Collect(t.Context(), CollectOptions{})
	require.NoError(t, err)
	prefix := a.account.prefix + layout.MarkFolder
	for info, err := range a.account.store.blobs.List(t.Context(), prefix, "") {
		require.NoError(t, err)
		id, err := eventlog.ParseObjectID(strings.TrimPrefix(info.Name, prefix))
		require.NoError(t, err)
		b, err := a.account.log.GetObject(t.Context(), layout.KindMark, id)
		require.NoError(t, err)
		return b
	}
	t.Fatal("the collection left no mark")
	return nil
}

// aim finds the targets.
func (w *tamperWorld) aim(t *testing.T, s *Store, revoked []byte) {
	list := func(prefix string) (out []string) {
		for info, err := range w.blobs.List(t.Context(), prefix, "") {
			require.NoError(t, err)
			out = append(out, info.Name)
		}
		return out
	}
	add := func(kind, folder, free string, pick int) {
		all, others := list(w.prefix+folder), list(w.bob+folder)
		x := tamperTarget{kind: kind, name: all[(pick+len(all))%len(all)], other: others[(pick+len(others))%len(others)], with: "identity"}
		i := slices.Index(all, x.name)
		if i+1 < len(all) {
			x.sibling = all[i+1]
		} else if i > 0 {
			x.sibling = all[i-1]
		}
		switch {
		case strings.HasPrefix(kind, "pack") || kind == "body":
			x.older = x.sibling // their names are random: any other
		case i > 0:
			x.older = all[i-1]
		}
		x.free = w.prefix + free
		w.targets = append(w.targets, x)
	}
	id := strings.Repeat("5", 32)
	logs := len(list(w.prefix + "log/"))
	w.targets = append(w.targets,
		tamperTarget{kind: "store/format", name: layout.Format, free: "store/other", with: "identity"},
		tamperTarget{kind: "name", name: s.nameHash("ann"), sibling: s.nameHash("bob"), other: s.nameHash("bob"), free: layout.NameFolder + id + id, with: "identity"})
	add("key", "key/", "key/0000000009", 0)
	add("identity before", layout.RingFolder, layout.RingFolder+id, 0)
	add("slot of a password", passwordSlots, passwordSlots+id, 0)
	w.targets[len(w.targets)-1].with = "password"
	add("slot of a token", tokenSlots, tokenSlots+id, 0)
	last := &w.targets[len(w.targets)-1]
	last.with, last.old = "token", revoked
	add("entry of the owner's", "log/", fmt.Sprintf("log/%016d", logs+1), -3)
	add("delivered entry", "log/", fmt.Sprintf("log/%016d", logs+1), -2)
	add("newest entry", "log/", fmt.Sprintf("log/%016d", logs+2), -1)
	add("entry before the snapshot", "log/", fmt.Sprintf("log/%016d", logs+1), 3)
	add("newest snapshot", "snap/", fmt.Sprintf("snap/%016d", logs), -1)
	for kind, block := range w.blocksInUse(t, s) {
		add(kind, layout.PackFolder, layout.PackFolder+id, slices.Index(list(w.prefix+layout.PackFolder), layout.PackName(w.prefix, block.Pack)))
		w.targets[len(w.targets)-1].block = block
	}
	add("body", "body/", "body/"+id, 2)
	add("marks of a collection", layout.KindMark+"/", layout.KindMark+"/"+id, 0)
	w.targets = append(w.targets, tamperTarget{kind: "record of a removal", name: list(layout.RemovedFolder)[0], free: layout.RemovedFolder + id, with: "identity"})
}

// blocksInUse yields a block of a page and one of metadata that the newest state
// refers to.
func (w *tamperWorld) blocksInUse(t *testing.T, s *Store) iter.Seq2[string, pack.Ref] {
	st := openWith(t, s, "ann", w.ids["ann"]).account.state()
	var page, metadata pack.Ref
	for _, m := range st.Mailboxes {
		for _, r := range m.Pages {
			if r.Page == nil {
				page = r.Block
			}
		}
	}
	for _, seg := range st.Segments {
		metadata = seg.Metadata
	}
	return func(yield func(string, pack.Ref) bool) {
		_ = yield("pack of pages", page) && yield("pack of metadata", metadata)
	}
}

// read returns all messages of an account and what could not be read.
func (w *tamperWorld) read(t *testing.T, a *Account) (got map[string]string, failed error) {
	ctx := t.Context()
	got = map[string]string{}
	fail := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	boxes, err := a.Mailboxes(ctx)
	if err != nil {
		return got, err
	}
	for _, box := range boxes {
		got[box.Name] = fmt.Sprint(box.UIDValidity)
		v, err := a.Select(ctx, box.Name, true)
		if err != nil {
			fail(err)
			continue
		}
		for m, err := range v.Messages(ctx, All()) {
			if err != nil {
				fail(err)
				break
			}
			text, err := w.message(ctx, m)
			if err != nil {
				fail(err)
				continue
			}
			got[fmt.Sprintf("%s %d", box.Name, m.UID)] = text
		}
		v.Close()
	}
	return got, failed
}

func (w *tamperWorld) message(ctx context.Context, m *Message) (string, error) {
	meta, err := m.Meta(ctx)
	if err != nil {
		return "", err
	}
	r, err := m.Open(ctx, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return fmt.Sprintf("%v %d %q %q", m.Flags(), m.ModSeq, meta.Header, b), err
}

// attack changes the store; it returns the names that it touched, none if the
// attack does not apply.
type attack struct {
	name string
	do   func(t *testing.T, b *memblob.Store, x tamperTarget, variant int) []string
	// variants of one attack must all come to the same, or to what is worst.
	variants int
}

func bytesOf(t *testing.T, b *memblob.Store, name string) []byte {
	data, err := layout.ReadAll(t.Context(), b, name, 1<<20)
	require.NoError(t, err)
	return data
}

func put(t *testing.T, b *memblob.Store, name string, data []byte) []string {
	require.NoError(t, b.Delete(t.Context(), name))
	require.NoError(t, b.Create(t.Context(), name, bytes.NewReader(data)))
	return []string{name}
}

func attacks() []attack {
	from := func(pick func(tamperTarget) string) func(*testing.T, *memblob.Store, tamperTarget, int) []string {
		return func(t *testing.T, b *memblob.Store, x tamperTarget, _ int) []string {
			if pick(x) == "" {
				return nil
			}
			return put(t, b, x.name, bytesOf(t, b, pick(x)))
		}
	}
	return []attack{
		{"flip", func(t *testing.T, b *memblob.Store, x tamperTarget, v int) []string {
			data := bytesOf(t, b, x.name)
			part := data
			if x.block.Sealed > 0 { // what no block has is nobody's
				part = data[x.block.Off:][:x.block.Sealed]
			}
			part[v*(len(part)-1)/4] ^= 1
			return put(t, b, x.name, data)
		}, 5},
		{"truncate", func(t *testing.T, b *memblob.Store, x tamperTarget, v int) []string {
			data := bytesOf(t, b, x.name)
			return put(t, b, x.name, data[:(len(data)-1)*v/2])
		}, 3},
		{"extend", func(t *testing.T, b *memblob.Store, x tamperTarget, _ int) []string {
			return put(t, b, x.name, append(bytesOf(t, b, x.name), 0))
		}, 1},
		{"swap", func(t *testing.T, b *memblob.Store, x tamperTarget, _ int) []string {
			if x.sibling == "" {
				return nil
			}
			mine, its := bytesOf(t, b, x.name), bytesOf(t, b, x.sibling)
			return append(put(t, b, x.name, its), put(t, b, x.sibling, mine)...)
		}, 1},
		{"older", func(t *testing.T, b *memblob.Store, x tamperTarget, _ int) []string {
			if x.old != nil { // one that was deleted comes back
				slot, err := crypto.ParseSlot(x.old)
				require.NoError(t, err)
				return put(t, b, x.name[:strings.LastIndex(x.name, "-")+1]+slot.ID.String(), x.old)
			}
			return from(func(x tamperTarget) string { return x.older })(t, b, x, 0)
		}, 1},
		{"remove", func(t *testing.T, b *memblob.Store, x tamperTarget, _ int) []string {
			require.NoError(t, b.Delete(t.Context(), x.name))
			if x.kind == "key" { // which of them is missing cannot be known
				return []string{x.name, strings.TrimSuffix(x.name, "0002")}
			}
			return []string{x.name}
		}, 1},
		{"duplicate", func(t *testing.T, b *memblob.Store, x tamperTarget, _ int) []string {
			return put(t, b, x.free, bytesOf(t, b, x.name))
		}, 1},
		{"another's", from(func(x tamperTarget) string { return x.other }), 1},
	}
}

// seen is what comes of an attack.
type seen struct {
	effect string // what the owner has
	by     string // who notices: letters in the order of noticers
}

// effects, from the worst. "lies" is none that is allowed.
var effects = []string{"lies", "older", "shut", "part", "whole"}

const noticers = "LRCKH"

// worst returns the worse of two outcomes; if they are the same, with those who
// notice both.
func (a seen) worst(b seen) seen {
	switch {
	case a.effect == "" || slices.Index(effects, b.effect) < slices.Index(effects, a.effect):
		return b
	case a.effect != b.effect:
		return a
	}
	var both strings.Builder
	for _, n := range noticers {
		if strings.ContainsRune(a.by, n) && strings.ContainsRune(b.by, n) {
			both.WriteRune(n)
		}
	}
	if a.by = both.String(); a.by == "" {
		a.by = "-"
	}
	return a
}

// look opens the store as its users and its operator do.
func (w *tamperWorld) look(t *testing.T, blobs *memblob.Store, x tamperTarget, touched []string) seen {
	ctx := t.Context()
	out := seen{effect: "whole"}
	named := func(text string) bool {
		return slices.ContainsFunc(touched, func(n string) bool { return strings.Contains(text, n) })
	}
	anyNamed, told := false, false
	notice := func(by string, text string) {
		if !strings.Contains(out.by, by) {
			out.by += by
		}
		anyNamed = anyNamed || named(text)
	}
	s, err := Open(ctx, blobs, Options{Password: cheap, PollInterval: -1, NoCollect: true, Now: w.clock.now})
	if err != nil {
		// Nothing can be done in it. That its format is missing is said by the command.
		require.True(t, named(err.Error()) || x.kind == "store/format", "%s: %v", x.kind, err)
		return seen{"shut", "LRCK"}
	}
	defer s.Close()
	s.freshness = 0
	a, err := w.login(ctx, s, x.with)
	if err != nil {
		out.effect = "shut"
		notice("L", err.Error())
	} else {
		got, failed := w.read(t, a)
		out.effect = w.compare(got, failed)
		if failed != nil {
			notice("R", failed.Error())
		}
		a.Close()
	}
	report := func(by string) func(Problem) {
		return func(p Problem) {
			if !p.Harmless {
				told = true
				notice(by, p.Object+" "+p.String())
			}
		}
	}
	_, err = s.Check(ctx, report("C"))
	require.NoError(t, err)
	identity, err := crypto.ParseIdentity(w.ids["ann"])
	require.NoError(t, err)
	if _, err := s.CheckIdentity(ctx, "ann", identity, report("K")); err != nil {
		notice("K", err.Error())
	}
	if strings.Contains(x.kind, "entry") { // for a process that saw nothing
		fresh, err := Open(ctx, blobs, Options{PollInterval: -1, NoCollect: true, Now: w.clock.now})
		require.NoError(t, err)
		defer fresh.Close()
		_, err = fresh.CheckSeen(ctx, w.heads, report("H"))
		require.NoError(t, err)
	}
	if strings.Contains(out.by, "C") {
		out.by = strings.ReplaceAll(out.by, "H", "") // it is a check
	}
	if told || strings.Contains(out.by, "R") {
		require.True(t, anyNamed, "%s: nothing names %v", x.kind, touched)
	}
	if out.by == "" {
		out.by = "-"
	}
	w.others(t, s, touched)
	return out
}

func (w *tamperWorld) login(ctx context.Context, s *Store, with string) (*Account, error) {
	switch with {
	case "password":
		return s.Login(ctx, "ann", []byte("secret of ann"))
	case "token":
		return s.Login(ctx, "ann", []byte(w.token))
	}
	identity, err := crypto.ParseIdentity(w.ids["ann"])
	if err != nil {
		return nil, err
	}
	return s.OpenAccount(ctx, "ann", identity)
}

// compare says how what was read differs from what was there.
func (w *tamperWorld) compare(got map[string]string, failed error) string {
	for key, text := range got {
		if want, ok := w.want["ann"][key]; !ok || want != text {
			return "lies"
		}
	}
	switch {
	case len(got) == len(w.want["ann"]):
		return "whole"
	case failed != nil:
		return "part"
	}
	return "older"
}

// others wants everything of bob's as it was, unless it was his that was touched.
func (w *tamperWorld) others(t *testing.T, s *Store, touched []string) {
	if slices.Contains(touched, s.nameHash("bob")) || slices.Contains(touched, layout.Format) {
		return
	}
	bob := openWith(t, s, "bob", w.ids["bob"])
	got, err := w.read(t, bob)
	require.NoError(t, err)
	require.Equal(t, w.want["bob"], got, "damage of one account reaches another")
	bob.Close()
}

// TestTampering does everything that the owner of a store can do to one object, to
// every kind of object: nothing is ever read that was not written, the damage is
// noticed and named, and it stays where it is. docs/reliability.md has the table.
func TestTampering(t *testing.T) {
	w := newTamperWorld(t)
	all := attacks()
	var table strings.Builder
	table.WriteString("| object |")
	for _, a := range all {
		fmt.Fprintf(&table, " %s |", a.name)
	}
	table.WriteString("\n|" + strings.Repeat("---|", len(all)+1) + "\n")
	for _, x := range w.targets {
		fmt.Fprintf(&table, "| %s |", x.kind)
		for _, a := range all {
			cell := seen{}
			for v := range a.variants {
				blobs := w.blobs.Clone()
				if touched := a.do(t, blobs, x, v); touched != nil {
					cell = cell.worst(w.look(t, blobs, x, touched))
				}
			}
			require.NotEqual(t, "lies", cell.effect, "%s, %s", x.kind, a.name)
			if cell.effect == "" {
				table.WriteString(" |")
				continue
			}
			fmt.Fprintf(&table, " %s %s |", cell.effect, cell.by)
		}
		table.WriteString("\n")
	}
	t.Log("\n" + table.String())
	page := filepath.Join("..", "docs", "reliability.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	const begin, end = "<!-- tampering -->\n", "<!-- /tampering -->"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "docs/reliability.md has no place for the table")
	have, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	if *golden.Update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+table.String()+end+after), 0o644))
		return
	}
	require.Equal(t, have, table.String(), "go test ./mailbox -run TestTampering -update")
}
