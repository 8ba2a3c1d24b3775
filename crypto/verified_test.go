package crypto_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

func TestVerified(t *testing.T) {
	v := crypto.NewVerified(crypto.VerifiedOptions{})
	key, slot, pw := crypto.NewKey(), crypto.SlotID{1}, []byte("pw")
	_, _, ok := v.Lookup(account, pw)
	assert.False(t, ok)

	v.Remember(account, slot, pw, key)
	gotSlot, gotKey, ok := v.Lookup(account, pw)
	require.True(t, ok)
	assert.Equal(t, slot, gotSlot)
	assert.True(t, key.Equal(gotKey))

	_, none, ok := v.Lookup(account, []byte("pW"))
	assert.False(t, ok, "other password")
	assert.True(t, none.IsZero())
	_, _, ok = v.Lookup(account, nil)
	assert.False(t, ok)
	_, _, ok = v.Lookup(otherAccount, pw)
	assert.False(t, ok, "other account")
	_, _, ok = crypto.NewVerified(crypto.VerifiedOptions{}).Lookup(account, pw)
	assert.False(t, ok, "other process")

	v.Forget(otherAccount, slot)
	v.Forget(account, crypto.SlotID{2})
	_, _, ok = v.Lookup(account, pw)
	assert.True(t, ok)
	v.Forget(account, slot)
	v.Forget(account, slot)
	_, _, ok = v.Lookup(account, pw)
	assert.False(t, ok)
}

// The password of an account is set anew: the newer slot counts, and forgetting
// the older one takes nothing from it.
func TestVerifiedNewSlot(t *testing.T) {
	v := crypto.NewVerified(crypto.VerifiedOptions{})
	older, newer, pw := crypto.SlotID{1}, crypto.SlotID{2}, []byte("pw")
	v.Remember(account, older, pw, crypto.NewKey())
	key := crypto.NewKey()
	v.Remember(account, newer, pw, key)
	v.Forget(account, older)
	slot, got, ok := v.Lookup(account, pw)
	require.True(t, ok)
	assert.Equal(t, newer, slot)
	assert.True(t, key.Equal(got))

	v.Remember(account, newer, []byte("other"), key)
	_, _, ok = v.Lookup(account, pw)
	assert.False(t, ok, "a slot has one password")
	entries, byTag, bySlot := crypto.VerifiedLen(v)
	assert.Equal(t, []int{1, 1, 1}, []int{entries, byTag, bySlot})
}

func TestVerifiedTTL(t *testing.T) {
	for _, c := range []struct{ ttl, want time.Duration }{{0, time.Hour}, {time.Minute, time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			v := crypto.NewVerified(crypto.VerifiedOptions{TTL: c.ttl})
			v.Remember(account, crypto.SlotID{1}, []byte("pw"), crypto.NewKey())
			time.Sleep(c.want - 1)
			_, _, ok := v.Lookup(account, []byte("pw"))
			assert.True(t, ok)
			time.Sleep(time.Nanosecond)
			_, _, ok = v.Lookup(account, []byte("pw"))
			assert.False(t, ok, "looking up does not prolong")
			entries, byTag, bySlot := crypto.VerifiedLen(v)
			assert.Equal(t, []int{0, 0, 0}, []int{entries, byTag, bySlot}, "nothing stays in memory")
		})
	}
}

func TestVerifiedMax(t *testing.T) {
	v := crypto.NewVerified(crypto.VerifiedOptions{Max: 3})
	pw := func(i int) []byte { return fmt.Appendf(nil, "pw %d", i) }
	for i := range 5 {
		v.Remember(account, crypto.SlotID{byte(i)}, pw(i), crypto.NewKey())
	}
	v.Remember(account, crypto.SlotID{4}, pw(4), crypto.NewKey()) // known: needs no room
	for i := range 5 {
		_, _, ok := v.Lookup(account, pw(i))
		assert.Equal(t, i >= 2, ok, "%d", i)
	}
	entries, byTag, bySlot := crypto.VerifiedLen(v)
	assert.Equal(t, []int{3, 3, 3}, []int{entries, byTag, bySlot})
}

// The whole way of a login, as the doc of Verified shows it.
func TestVerifiedLogin(t *testing.T) {
	id, pw := newIdentity(t), []byte("pw")
	slot, err := crypto.NewPasswordSlot(t.Context(), id, account, pw, cheap, nil)
	require.NoError(t, err)
	v := crypto.NewVerified(crypto.VerifiedOptions{})
	key, err := slot.PasswordKey(t.Context(), crypto.Requester{}, pw, nil)
	require.NoError(t, err)
	_, err = slot.OpenWithKey(account, key)
	require.NoError(t, err)
	v.Remember(account, slot.ID, pw, key)

	slotID, key, ok := v.Lookup(account, pw)
	require.True(t, ok)
	require.Equal(t, slot.ID, slotID)
	opened, err := slot.OpenWithKey(account, key)
	require.NoError(t, err)
	assert.Equal(t, id.Export(), opened.Export())

	for _, wrong := range []crypto.Key{{}, crypto.NewKey()} {
		_, err = slot.OpenWithKey(account, wrong)
		assert.ErrorIs(t, err, crypto.ErrWrongSecret)
	}
	_, err = slot.OpenWithKey(otherAccount, key)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret)
}

func TestVerifiedConcurrent(t *testing.T) {
	v := crypto.NewVerified(crypto.VerifiedOptions{Max: 8})
	keys := map[byte]crypto.Key{}
	for i := range byte(16) {
		keys[i] = crypto.NewKey()
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for n := range 200 {
				i := byte(n % 16)
				v.Remember(account, crypto.SlotID{i}, []byte{i}, keys[i])
				if slot, key, ok := v.Lookup(account, []byte{i}); ok {
					assert.Equal(t, crypto.SlotID{i}, slot)
					assert.True(t, keys[i].Equal(key))
				}
				if n%3 == 0 {
					v.Forget(account, crypto.SlotID{i})
				}
			}
		})
	}
	wg.Wait()
	entries, byTag, bySlot := crypto.VerifiedLen(v)
	assert.LessOrEqual(t, entries, 8)
	assert.Equal(t, entries, byTag)
	assert.Equal(t, entries, bySlot)
}
