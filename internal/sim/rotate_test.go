package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox"
)

// The account's owner changes its identity, and keeps a notebook: of each change
// the password, what became of it, and the recovery identity if that was told. All
// of the owner's clients read it when they log in.

// passwordParams are the cheapest that there are.
var passwordParams = crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}

// firstPassword is the account's until its identity is changed.
const firstPassword = "secret"

// secret is an identity of the account, or one that a change would have given it.
type secret struct {
	parent   *secret // which it follows; nil for the first
	password string
	identity *crypto.Identity // nil if nobody was told
	outcome  outcome          // of the change
	opened   bool             // somebody logged in with it: it took effect
	tokens   []crypto.Token
}

// notebook is what the owner knows.
type notebook struct {
	w *world

	mu      sync.Mutex // protects what follows, and what it points to
	secrets []*secret  // in the order in which their changes began
	tries   int        // logins with passwords of which it was not known whether they were the account's
}

// tookEffect reports whether it is known that a change did.
func (s *secret) tookEffect() bool { return s.outcome == done || s.opened }

// current returns the newest identity known to have taken effect.
func (n *notebook) current() *secret {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.secrets[0]
	for _, s := range n.secrets {
		if s.parent == at && s.tookEffect() {
			at = s
		}
	}
	return at
}

// hanging returns the changes after an identity that may have taken effect, or may
// yet, the newest first.
func (n *notebook) hanging(after *secret) (all []*secret) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.secrets {
		if s.parent == after && s.outcome == unknown {
			all = append(all, s)
		}
	}
	slices.Reverse(all)
	return all
}

// behind returns how many changes after an identity may have taken effect.
func (n *notebook) behind(s *secret) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	most := 0
	for _, last := range n.secrets {
		steps := 0
		for at := last; at != nil && at != s && at.outcome != refused; at = at.parent {
			if steps++; at.parent == s {
				most = max(most, steps)
			}
		}
	}
	return most
}

// begin notes that a change begins. It returns nil if there must be no more: a
// change that hangs while the identity is changed twice more is a known limit.
func (n *notebook) begin(parent *secret, password string) *secret {
	n.mu.Lock()
	defer n.mu.Unlock()
	after := 0
	for i, s := range n.secrets {
		if s.outcome == unknown {
			after = len(n.secrets) - i
			break
		}
	}
	// And a password must tell which change it is of.
	ambiguous := func(s *secret) bool { return s.outcome == unknown && s.password == password }
	if after >= 2 || len(n.secrets) > 3 || slices.ContainsFunc(n.secrets, ambiguous) {
		return nil
	}
	s := &secret{parent: parent, password: password, outcome: unknown}
	n.secrets = append(n.secrets, s)
	return s
}

// end notes what became of a change.
func (n *notebook) end(s *secret, o outcome, recovery string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.outcome = o; o == done {
		n.learn(s, recovery)
	}
	n.consistent()
}

// learn notes an identity. Called with the mutex.
func (n *notebook) learn(s *secret, recovery string) {
	identity, err := crypto.ParseIdentity(recovery)
	if err != nil || s.identity != nil && s.identity.Export() != recovery {
		n.w.t.Errorf("seed %d: a change of identity has two", n.w.seed)
		return
	}
	s.identity = identity
}

// loggedIn notes that a password opened the account, and returns with what.
func (n *notebook) loggedIn(password, recovery string) *secret {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found *secret
	for _, s := range n.secrets {
		if s.identity != nil && s.identity.Export() == recovery {
			found = s
			break
		}
		if s.identity == nil && s.password == password && s.outcome == unknown {
			found = s
		}
	}
	if found == nil || found.password != password {
		n.w.t.Errorf("seed %d: a password opened another identity than its own", n.w.seed)
		return n.secrets[0]
	}
	n.learn(found, recovery)
	if !found.tookEffect() {
		n.w.ledger.count("changes completed or found by a login")
	}
	found.opened = true
	n.consistent()
	return found
}

// consistent asserts that of several changes of one identity one took effect.
// Called with the mutex.
func (n *notebook) consistent() {
	after := map[*secret]*secret{}
	for _, s := range n.secrets[1:] {
		if !s.tookEffect() {
			continue
		}
		if s.outcome == refused {
			n.w.t.Errorf("seed %d: a change of identity that was refused took effect", n.w.seed)
		}
		if other := after[s.parent]; other != nil {
			n.w.t.Errorf("seed %d: two changes of one identity took effect", n.w.seed)
		}
		after[s.parent] = s
	}
}

// openAccount opens the account as its owner would: as the notebook says, and if
// another identity has come meanwhile, by the password of a change of which nobody
// knows what became of it.
func (a *actor) openAccount() error {
	n := a.w.notebook
	at := n.current()
	hanging := n.hanging(at)
	if len(hanging) > 0 && n.mayTry() && a.rnd.IntN(3) == 0 {
		if a.tryOpen(hanging[0], true) == nil {
			return nil
		}
	}
	byPassword := a.w.profile.rotate > 0 && a.rnd.IntN(16) == 0
	err := a.tryOpen(at, byPassword)
	if err == nil {
		return nil
	}
	if byPassword && (errors.Is(err, mailbox.ErrAuth) || errors.Is(err, mailbox.ErrSwappedKey)) {
		// A change took effect, and has deleted the older slots, or not those of
		// changes before which had the same password.
		if n.behind(at) == 0 {
			a.w.t.Errorf("seed %d: %s: the password of the account opens nothing", a.w.seed, a.name)
		}
	} else if !errors.Is(err, mailbox.ErrRotated) {
		a.fineSecret(at, err)
		return err
	}
	for _, s := range n.hanging(at) {
		if err := a.tryOpen(s, true); err == nil {
			return nil
		}
	}
	return err
}

// mayTry bounds how often passwords are tried that may not be the account's: each
// derivation costs as much as half a run.
func (n *notebook) mayTry() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tries++
	return n.tries <= 2
}

// tryOpen opens the account with an identity, or its password.
func (a *actor) tryOpen(s *secret, byPassword bool) error {
	n := a.w.notebook
	if !byPassword && s.identity != nil {
		acct, err := a.inst.store.OpenAccount(a.ctx, user, s.identity)
		if err == nil {
			a.acct, a.secret = acct, s
		}
		return err
	}
	acct, err := a.inst.store.Login(a.ctx, user, []byte(s.password))
	if err != nil {
		return err
	}
	a.w.ledger.count("logins by password")
	recovery, err := acct.Recovery()
	if err != nil {
		acct.Close() // another's change has ended it already
		return err
	}
	a.acct, a.secret = acct, n.loggedIn(s.password, recovery)
	return nil
}

// rotate changes the account's identity.
func (a *actor) rotate() {
	n := a.w.notebook
	if !a.ready() {
		return
	}
	password := a.secret.password
	if a.rnd.IntN(3) > 0 {
		password = "secret of " + a.newID()
	}
	s := n.begin(a.secret, password)
	if s == nil {
		return
	}
	a.w.changing(a.proc, true)
	defer a.w.changing(a.proc, false)
	ctx, cancel := a.context()
	defer cancel()
	recovery, err := a.acct.RotateIdentity(ctx, []byte(password))
	o := unknown
	switch {
	case err == nil:
		o = done
		a.stale = true
	case errors.Is(err, mailbox.ErrRotating):
		o = refused
		if !n.contested(s) {
			a.w.t.Errorf("seed %d: %s was told that another changes the identity, which nobody does", a.w.seed, a.name)
		}
	case errors.Is(err, mailbox.ErrClosed):
		o = refused
		a.stale = true
	default:
		a.fine(err)
	}
	n.end(s, o, recovery)
	a.w.ledger.count("rotate " + string(o))
	a.w.mu.Lock()
	a.w.tell("client %s rotate: %s", a.name, o)
	a.w.mu.Unlock()
}

// contested reports whether another change of the same identity was begun.
func (n *notebook) contested(s *secret) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.secrets, func(o *secret) bool { return o != s && o.parent == s.parent && o.parent != nil })
}

// token makes a token, or logs in with one.
func (a *actor) token() {
	n := a.w.notebook
	if a.rnd.IntN(2) == 0 {
		made, err := a.acct.AddToken(a.ctx, a.name)
		if err != nil {
			a.fine(err)
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		a.secret.tokens = append(a.secret.tokens, made)
		return
	}
	at := n.current()
	n.mu.Lock()
	var with *secret
	for _, s := range n.secrets {
		if len(s.tokens) > 0 && a.rnd.IntN(2) == 0 {
			with = s
		}
	}
	n.mu.Unlock()
	if with == nil {
		return
	}
	acct, err := a.inst.store.Login(a.ctx, user, []byte(with.tokens[0].Export()))
	switch {
	case err == nil:
		acct.Close()
		a.w.ledger.count("logins by token")
		if with != at && n.behind(with) > 0 && n.before(with, at) {
			a.w.t.Errorf("seed %d: %s logged in with a token of an identity that was changed", a.w.seed, a.name)
		}
	case errors.Is(err, mailbox.ErrAuth):
		a.w.ledger.count("tokens refused")
		if n.behind(with) == 0 {
			a.w.t.Errorf("seed %d: %s: a token opens nothing", a.w.seed, a.name)
		}
	default:
		a.fineSecret(with, err)
	}
}

// before reports whether an identity is known to have come before another.
func (n *notebook) before(s, later *secret) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for at := later.parent; at != nil; at = at.parent {
		if at == s {
			return true
		}
	}
	return false
}

// fineSecret is fine for what was tried with an identity. One that was changed is
// told so; one that was changed twice cannot know who changed it, and sees what it
// cannot open.
func (a *actor) fineSecret(s *secret, err error) {
	behind := 0
	if s != nil {
		behind = a.w.notebook.behind(s)
	}
	switch {
	case errors.Is(err, mailbox.ErrRotated) && behind == 0:
		a.w.t.Errorf("seed %d: %s was told that the identity was changed, which nobody did: %v", a.w.seed, a.name, err)
	case errors.Is(err, mailbox.ErrRotated), errors.Is(err, mailbox.ErrClosed):
		a.stale = true
	case behind > 1 && (errors.Is(err, eventlog.ErrCorrupt) || errors.Is(err, mailbox.ErrSwappedKey)):
		a.stale = true
	default:
		a.undamaged(err)
	}
}

// changing says that a process begins, or ends, to change the identity.
func (w *world) changing(p *process, begin bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rotating = nil; begin {
		w.rotating = p
		w.tell("%s changes the identity", p.name)
	}
}

// settle logs in as the owner would who comes back a day later, and returns which
// identity the account has. Of all passwords, those of changes of which nobody knows
// what became of them first, one must open it.
func (v *verifier) settle() *secret {
	n := v.w.notebook
	at := n.current()
	if len(n.secrets) == 1 {
		return at
	}
	ctx := context.Background()
	store, err := mailbox.Open(ctx, v.w.mem, v.options())
	v.must(err)
	defer store.Close()
	if v.w.seed%2 == 0 && v.published() == 1 {
		// No change waits to be completed. Passwords are dear.
		if acct, err := store.OpenAccount(ctx, user, at.identity); err == nil {
			v.must(acct.Close())
			return at
		}
	}
	for _, s := range append(n.hanging(at), at) {
		acct, err := store.Login(ctx, user, []byte(s.password))
		if err != nil {
			if s == at || !errors.Is(err, mailbox.ErrAuth) && !errors.Is(err, mailbox.ErrSwappedKey) {
				v.w.t.Errorf("seed %d: login with the password of a change: %v", v.w.seed, err)
			}
			continue
		}
		recovery, err := acct.Recovery()
		v.must(err)
		v.must(acct.Close())
		if opened := n.loggedIn(s.password, recovery); opened != at || s == at {
			return opened
		}
	}
	v.w.t.Errorf("seed %d: no password opens the account", v.w.seed)
	v.w.t.FailNow()
	return nil
}

// published returns how many recipients there are.
func (v *verifier) published() (count int) {
	for info := range v.w.mem.List(context.Background(), "acct/", "") {
		if plain(info.Name) == "key" {
			count++
		}
	}
	return count
}

// secrets asserts what opens the account, and what does not any more.
func (v *verifier) secrets(s *mailbox.Store, acct *mailbox.Account, have *secret) {
	n, ctx := v.w.notebook, context.Background()
	if len(n.secrets) == 1 {
		return
	}
	bad := func(format string, args ...any) {
		v.w.t.Errorf("seed %d: "+format, append([]any{v.w.seed}, args...)...)
	}
	var want []string
	for at := have.parent; at != nil; at = at.parent {
		want = append(want, at.identity.Export())
	}
	if got, err := acct.Retired(); err != nil || !slices.Equal(got, want) {
		bad("the account had %d identities before, not %d: %v", len(got), len(want), err)
	}
	password := v.w.seed%4 == 0 // of one that was changed; each slot costs a derivation
	for _, other := range n.secrets {
		for _, token := range other.tokens {
			a, err := s.Login(ctx, user, []byte(token.Export()))
			switch {
			case other == have && err != nil:
				bad("a token opens nothing: %v", err)
			case other != have && !errors.Is(err, mailbox.ErrAuth) && !(errors.Is(err, mailbox.ErrSwappedKey) && n.behind(other) > 1):
				bad("a token of an identity before: %v", err)
			}
			if err == nil {
				v.must(a.Close())
			}
			v.w.count["tokens tried in the end"]++
		}
		if other == have {
			continue
		}
		if other.identity != nil {
			_, err := s.OpenAccount(ctx, user, other.identity)
			if other == have.parent && !errors.Is(err, mailbox.ErrRotated) || !errors.Is(err, mailbox.ErrRotated) && !errors.Is(err, mailbox.ErrSwappedKey) {
				bad("an identity before opens the account: %v", err)
			}
		}
		// Where a change that came to nothing has left a slot of the same password it
		// is not told which of the two was meant.
		shares := func(s *secret) bool { return s != other && s.password == other.password }
		if password && other.tookEffect() && !slices.ContainsFunc(n.secrets, shares) {
			password = false
			_, err := s.Login(ctx, user, []byte(other.password))
			if !errors.Is(err, mailbox.ErrAuth) && !errors.Is(err, mailbox.ErrRotated) && !(errors.Is(err, mailbox.ErrSwappedKey) && n.behind(other) > 1) {
				bad("a password of before: %v", err)
			}
		}
	}
}

// rotateAgain asserts that a change which hung does not keep the owner from another.
func (v *verifier) rotateAgain(acct *mailbox.Account, have *secret, want string) {
	n := v.w.notebook
	if v.w.seed%3 != 0 || !slices.ContainsFunc(n.secrets, func(s *secret) bool { return s.outcome == unknown }) {
		return
	}
	recovery, err := acct.RotateIdentity(context.Background(), []byte("the last"))
	if err != nil {
		v.w.t.Errorf("seed %d: change of identity in the end: %v", v.w.seed, err)
		return
	}
	s := &secret{parent: have, password: "the last", outcome: unknown}
	n.mu.Lock()
	n.secrets = append(n.secrets, s)
	n.mu.Unlock()
	n.end(s, done, recovery)
	store, again := v.open(v.w.mem, s)
	if got, _ := v.dump(again, map[string][]standing{}); got != want {
		v.w.t.Errorf("seed %d: after a change of identity the account is\n%s, not\n%s", v.w.seed, got, want)
	}
	v.w.count["changes in the end"]++
	v.must(again.Close())
	v.must(store.Close())
}

// lastKeys gives the archive the recipients, and so the identity, of the end.
func (v *verifier) lastKeys() error {
	if len(v.w.notebook.secrets) == 1 {
		return nil
	}
	ctx := context.Background()
	all := v.w.archive.objects
	for info := range all.List(ctx, "acct/", "") {
		if _, err := v.w.mem.Stat(ctx, info.Name); err != nil && plain(info.Name) == "key" {
			if err := all.Delete(ctx, info.Name); err != nil {
				return err
			}
		}
	}
	// And what the verifier wrote when it logged in.
	for info := range v.w.mem.List(ctx, "acct/", "") {
		if _, err := all.Stat(ctx, info.Name); err == nil {
			continue
		}
		r, err := v.w.mem.Open(ctx, info.Name, 0, -1)
		if err == nil {
			err = all.Create(ctx, info.Name, r)
		}
		if err != nil {
			return fmt.Errorf("archive: %w", err)
		}
	}
	return nil
}
