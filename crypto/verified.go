package crypto

import (
	"container/list"
	"crypto/hmac"
	"crypto/sha256"
	"sync"
	"time"
)

// Defaults of [VerifiedOptions].
const (
	defaultVerifiedTTL = time.Hour
	defaultVerifiedMax = 10000
)

// VerifiedOptions sets up a [Verified]. The zero value is right.
type VerifiedOptions struct {
	// TTL is how long a password is remembered after Remember; 0 means 1 h.
	// Looking it up does not prolong it.
	TTL time.Duration
	// Max is how many passwords are remembered, about 500 bytes each; the
	// oldest make room. 0 means 10,000.
	Max int
}

// Verified remembers, in memory only, which passwords lately opened which slots,
// so that a client that logs in every few minutes costs no derivation each time:
//
//	id, key, ok := verified.Lookup(account, password)
//	// ok: read the slot object id; if it still exists, slot.OpenWithKey(account, key);
//	//     if not, verified.Forget(account, id) and go on as if not ok
//	// else: key, err := slot.PasswordKey(...); slot.OpenWithKey(account, key);
//	//     on success, verified.Remember(account, slot.ID, password, key)
//
// What lies in memory opens nothing by itself: slot keys are encrypted under a
// key that needs the password and a secret of this Verified, and passwords are
// not kept in any form but as a keyed hash. Whoever reads all of the process's
// memory could test guesses of a password faster than by argon2id, for as long
// as it is remembered. Its methods may be called from many goroutines.
type Verified struct {
	ttl    time.Duration
	max    int
	secret Key

	mu      sync.Mutex // protects what follows
	byTag   map[[keySize]byte]*list.Element
	bySlot  map[verifiedSlot]*list.Element
	entries list.List // of *verifiedEntry, the oldest first
}

type verifiedSlot struct {
	account [16]byte
	slot    SlotID
}

type verifiedEntry struct {
	verifiedSlot
	tag     [keySize]byte
	sealed  []byte // the slot key
	expires time.Time
}

// NewVerified returns a Verified that remembers nothing yet. It has no goroutine
// and needs no closing: what is out of date goes at the next call.
func NewVerified(o VerifiedOptions) *Verified {
	if o.TTL <= 0 {
		o.TTL = defaultVerifiedTTL
	}
	if o.Max <= 0 {
		o.Max = defaultVerifiedMax
	}
	return &Verified{
		ttl:    o.TTL,
		max:    o.Max,
		secret: NewKey(),
		byTag:  make(map[[keySize]byte]*list.Element),
		bySlot: make(map[verifiedSlot]*list.Element),
	}
}

// Remember notes that password opened a slot of account, and the slot's key (as
// [Slot.PasswordKey] returned it). Call it only after the slot was opened with
// the key, and not after a Lookup, lest the password be remembered for ever.
func (v *Verified) Remember(account [16]byte, slot SlotID, password []byte, key Key) {
	tag, wrap := v.keys(account, password)
	e := &verifiedEntry{verifiedSlot: verifiedSlot{account, slot}, tag: tag}
	e.sealed = wrap.Seal(nil, key.secret(), slot[:])
	now := time.Now()
	e.expires = now.Add(v.ttl)

	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire(now)
	v.drop(v.byTag[tag])
	v.drop(v.bySlot[e.verifiedSlot])
	if v.entries.Len() >= v.max {
		v.drop(v.entries.Front())
	}
	place := v.entries.PushBack(e)
	v.byTag[tag] = place
	v.bySlot[e.verifiedSlot] = place
}

// Lookup returns the slot that password opened lately and the slot's key, or
// false. That the slot still exists is for the caller to check.
func (v *Verified) Lookup(account [16]byte, password []byte) (SlotID, Key, bool) {
	tag, wrap := v.keys(account, password)
	e := v.find(tag)
	if e == nil {
		return SlotID{}, Key{}, false
	}
	b, err := wrap.Open(nil, e.sealed, e.slot[:])
	if err != nil {
		return SlotID{}, Key{}, false
	}
	key, err := KeyFromBytes(b)
	clear(b)
	return e.slot, key, err == nil
}

// find returns the entry of tag, which is never changed, or nil.
func (v *Verified) find(tag [keySize]byte) *verifiedEntry {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expire(time.Now())
	place := v.byTag[tag]
	if place == nil {
		return nil
	}
	return place.Value.(*verifiedEntry)
}

// Forget drops what is remembered about a slot: call it when the slot is
// deleted, or found to be.
func (v *Verified) Forget(account [16]byte, slot SlotID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.drop(v.bySlot[verifiedSlot{account, slot}])
}

// expire drops what is out of date. All entries live equally long, so they are
// the first ones. v.mu is held.
func (v *Verified) expire(now time.Time) {
	for e := v.entries.Front(); e != nil; e = v.entries.Front() {
		if now.Before(e.Value.(*verifiedEntry).expires) {
			return
		}
		v.drop(e)
	}
}

// drop removes an entry, if it is one. v.mu is held.
func (v *Verified) drop(place *list.Element) {
	if place == nil {
		return
	}
	e := v.entries.Remove(place).(*verifiedEntry)
	delete(v.byTag, e.tag)
	delete(v.bySlot, e.verifiedSlot)
}

// keys returns what an entry is found by and what its slot key is sealed under.
// Neither tells the other without the password.
func (v *Verified) keys(account [16]byte, password []byte) (tag [keySize]byte, wrap Key) {
	h := hmac.New(sha256.New, v.secret.secret())
	h.Write(account[:])
	h.Write(password)
	root := newKey(h.Sum(nil))
	return [keySize]byte(root.Derive("verified tag").secret()), root.Derive("verified wrap")
}
