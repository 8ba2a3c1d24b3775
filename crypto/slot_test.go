package crypto_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/crypto"
)

// cheap is the least that PasswordParams allows.
var cheap = crypto.PasswordParams{Time: 5, Memory: 7168, Threads: 1}

var (
	account      = [16]byte{0: 'a', 15: 1}
	otherAccount = [16]byte{0: 'a', 15: 2}
)

func TestPasswordSlot(t *testing.T) {
	id := newIdentity(t)
	before := time.Now().Add(-time.Second)
	slot, err := crypto.NewPasswordSlot(t.Context(), id, account, []byte("correct horse"), cheap, nil)
	require.NoError(t, err)
	assert.Equal(t, crypto.SlotPassword, slot.Kind)
	assert.Equal(t, cheap, slot.Params)
	assert.WithinRange(t, slot.Created, before, time.Now())
	label, err := slot.Label(id)
	require.NoError(t, err)
	assert.Empty(t, label)

	require.Len(t, slot.Marshal(), 211)
	stored, err := crypto.ParseSlot(slot.Marshal())
	require.NoError(t, err)
	assert.Equal(t, slot, stored)
	opened, err := stored.OpenPassword(t.Context(), crypto.Requester{}, account, []byte("correct horse"), nil)
	require.NoError(t, err)
	assert.Equal(t, id.Export(), opened.Export())

	_, err = stored.OpenPassword(t.Context(), crypto.Requester{}, account, []byte("correct Horse"), nil)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret)
	_, err = stored.OpenPassword(t.Context(), crypto.Requester{}, account, nil, nil)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret)
	_, err = stored.OpenPassword(t.Context(), crypto.Requester{}, otherAccount, []byte("correct horse"), nil)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret, "a slot moved to another account")
	_, err = stored.OpenToken(account, newToken(t))
	assert.ErrorIs(t, err, crypto.ErrWrongSecret)
}

func TestPasswordSlotDefaults(t *testing.T) {
	id := newIdentity(t)
	slot, err := crypto.NewPasswordSlot(t.Context(), id, account, []byte("pw"), crypto.PasswordParams{}, nil)
	require.NoError(t, err)
	assert.Equal(t, crypto.DefaultPasswordParams(), slot.Params)

	_, err = crypto.NewPasswordSlot(t.Context(), id, account, nil, cheap, nil)
	assert.Error(t, err, "empty password")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = crypto.NewPasswordSlot(cancelled, id, account, []byte("pw"), cheap, nil)
	assert.ErrorIs(t, err, context.Canceled)
	_, err = slot.OpenPassword(cancelled, crypto.Requester{}, account, []byte("pw"), nil)
	assert.ErrorIs(t, err, context.Canceled)
}

func TestTokenSlot(t *testing.T) {
	id := newIdentity(t)
	slot, token, err := crypto.NewTokenSlot(id, account, "Zoë's phone")
	require.NoError(t, err)
	assert.Equal(t, crypto.SlotToken, slot.Kind)
	assert.Equal(t, slot.ID, token.Slot())

	stored, err := crypto.ParseSlot(slot.Marshal())
	require.NoError(t, err)
	assert.Equal(t, slot, stored)
	typed, err := crypto.ParseToken([]byte(token.Export()))
	require.NoError(t, err)
	opened, err := stored.OpenToken(account, typed)
	require.NoError(t, err)
	assert.Equal(t, id.Export(), opened.Export())
	label, err := stored.Label(opened)
	require.NoError(t, err)
	assert.Equal(t, "Zoë's phone", label)

	_, other, err := crypto.NewTokenSlot(id, account, "")
	require.NoError(t, err)
	for name, wrong := range map[string]crypto.Token{"other slot's": other, "zero": {}} {
		_, err = stored.OpenToken(account, wrong)
		assert.ErrorIs(t, err, crypto.ErrWrongSecret, name)
	}
	_, err = stored.OpenToken(otherAccount, token)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret, "a slot moved to another account")
	_, err = stored.OpenPassword(t.Context(), crypto.Requester{}, account, []byte(token.Export()), nil)
	assert.ErrorIs(t, err, crypto.ErrWrongSecret)
	_, err = stored.Label(newIdentity(t))
	assert.ErrorIs(t, err, crypto.ErrDecrypt)
}

// Labels leave no trace in the stored bytes, not even their length.
func TestTokenLabel(t *testing.T) {
	id := newIdentity(t)
	sizes := map[int]bool{}
	for _, label := range []string{"", "x", strings.Repeat("y", crypto.MaxLabel)} {
		slot, _, err := crypto.NewTokenSlot(id, account, label)
		require.NoError(t, err)
		got, err := slot.Label(id)
		require.NoError(t, err)
		assert.Equal(t, label, got)
		sizes[len(slot.Marshal())] = true
	}
	assert.Equal(t, map[int]bool{350: true}, sizes)
	for _, label := range []string{strings.Repeat("y", crypto.MaxLabel+1), "\xff"} {
		_, _, err := crypto.NewTokenSlot(id, account, label)
		assert.Error(t, err)
	}
}

// A label has one encoding; offsets of docs/format-crypto.md.
func TestTokenLabelStrict(t *testing.T) {
	id := newIdentity(t)
	slot, _, err := crypto.NewTokenSlot(id, account, "phone")
	require.NoError(t, err)
	for name, change := range map[string]func(block []byte){
		"length 128":       func(b []byte) { b[0] = 128 },
		"length 255":       func(b []byte) { b[0] = 255 },
		"cut":              func(b []byte) { b[0] = 4 },
		"not zero behind":  func(b []byte) { b[127] = 1 },
		"not UTF-8":        func(b []byte) { b[1] = 0xff },
		"none, not zeroed": func(b []byte) { b[0] = 0 },
	} {
		block := append([]byte("\x05phone"), make([]byte, 122)...)
		change(block)
		stored := slot.Marshal()
		copy(stored[33:], id.Derive("slot label").Seal(nil, block, slot.ID[:]))
		changed, err := crypto.ParseSlot(stored)
		require.NoError(t, err)
		_, err = changed.Label(id)
		assert.Error(t, err, name)
		if err != nil {
			assert.NotContains(t, err.Error(), "hone", name)
		}
	}
}

// Whatever bit of a stored slot changes: it does not open.
func TestSlotBitFlips(t *testing.T) {
	id := newIdentity(t)
	token, secret, err := crypto.NewTokenSlot(id, account, "phone")
	require.NoError(t, err)
	password, err := crypto.NewPasswordSlot(t.Context(), id, account, []byte("pw"), cheap, nil)
	require.NoError(t, err)
	key, err := password.PasswordKey(t.Context(), crypto.Requester{}, []byte("pw"), nil)
	require.NoError(t, err)
	for _, c := range []struct {
		slot *crypto.Slot
		open func(*crypto.Slot) (*crypto.Identity, error)
	}{
		{token, func(s *crypto.Slot) (*crypto.Identity, error) { return s.OpenToken(account, secret) }},
		{password, func(s *crypto.Slot) (*crypto.Identity, error) { return s.OpenWithKey(account, key) }},
	} {
		stored := c.slot.Marshal()
		parsed := 0
		for i := range stored {
			for bit := range 8 {
				changed := bytes.Clone(stored)
				changed[i] ^= 1 << bit
				slot, err := crypto.ParseSlot(changed)
				if err != nil {
					continue
				}
				parsed++
				require.Equal(t, changed, slot.Marshal(), "one encoding")
				_, err = c.open(slot)
				require.Error(t, err, "%v slot, byte %d", c.slot.Kind, i)
			}
		}
		assert.Greater(t, parsed, 500)
	}
}

// The right secret tells a damaged slot from a wrong password.
func TestDamagedSlot(t *testing.T) {
	slot, token, err := crypto.NewTokenSlot(newIdentity(t), account, "")
	require.NoError(t, err)
	stored := slot.Marshal()
	stored[len(stored)-1] ^= 1
	damaged, err := crypto.ParseSlot(stored)
	require.NoError(t, err)
	_, err = damaged.OpenToken(account, token)
	assert.ErrorIs(t, err, crypto.ErrDecrypt)
	assert.NotErrorIs(t, err, crypto.ErrWrongSecret)

	slot.Created = slot.Created.Add(time.Second)
	_, err = slot.OpenToken(account, token)
	assert.ErrorIs(t, err, crypto.ErrDecrypt)
}

func TestParseSlotRefuses(t *testing.T) {
	id := newIdentity(t)
	tokenSlot, _, err := crypto.NewTokenSlot(id, account, "")
	require.NoError(t, err)
	slot, err := crypto.NewPasswordSlot(t.Context(), id, account, []byte("pw"), cheap, nil)
	require.NoError(t, err)
	for _, stored := range [][]byte{slot.Marshal(), tokenSlot.Marshal()} {
		for n := range stored {
			_, err := crypto.ParseSlot(stored[:n])
			require.Error(t, err, "%d bytes", n)
		}
		_, err = crypto.ParseSlot(append(bytes.Clone(stored), 0))
		require.Error(t, err)
	}

	// Offsets of docs/format-crypto.md.
	for name, change := range map[string]func(b []byte){
		"older version":  func(b []byte) { b[7] = 1 },
		"newer version":  func(b []byte) { b[7] = 3 },
		"kind 0":         func(b []byte) { b[8] = 0 },
		"kind 3":         func(b []byte) { b[8] = 3 },
		"other kind":     func(b []byte) { b[8] = byte(crypto.SlotToken) },
		"year 10000":     func(b []byte) { binary.BigEndian.PutUint64(b[25:], 253402300800) },
		"before 1970":    func(b []byte) { binary.BigEndian.PutUint64(b[25:], 1<<63) },
		"no pass":        func(b []byte) { binary.BigEndian.PutUint32(b[33:], 0) },
		"65 passes":      func(b []byte) { binary.BigEndian.PutUint32(b[33:], 65) },
		"4 cheap passes": func(b []byte) { binary.BigEndian.PutUint32(b[33:], 4) },
		"7 MiB - 1 KiB":  func(b []byte) { binary.BigEndian.PutUint32(b[37:], 7167) },
		"over 1 GiB":     func(b []byte) { binary.BigEndian.PutUint32(b[37:], 1<<20+1) },
		"no lane":        func(b []byte) { b[41] = 0 },
		"17 lanes":       func(b []byte) { b[41] = 17 },
	} {
		b := slot.Marshal()
		change(b)
		_, err := crypto.ParseSlot(b)
		assert.Error(t, err, name)
	}
	b := slot.Marshal()
	binary.BigEndian.PutUint32(b[33:], 64)
	binary.BigEndian.PutUint32(b[37:], 1<<20)
	b[41] = 16
	_, err = crypto.ParseSlot(b)
	assert.NoError(t, err, "the upper bounds themselves")
}

func TestPasswordParamsLimits(t *testing.T) {
	for name, p := range map[string]crypto.PasswordParams{
		"only time":     {Time: 3},
		"only memory":   {Memory: 64 << 10},
		"no lanes":      {Time: 3, Memory: 64 << 10},
		"too little":    {Time: 1, Memory: 7168, Threads: 1},
		"too much time": {Time: 65, Memory: 7168, Threads: 1},
		"too much":      {Time: 1, Memory: 2 << 20, Threads: 4},
	} {
		_, err := crypto.DefaultPool().Key(t.Context(), crypto.Requester{}, []byte("pw"), make([]byte, 16), p)
		assert.Error(t, err, name)
	}
}

func TestDummy(t *testing.T) {
	costs := crypto.NewCosts(cheap)
	pretend := func(ctx context.Context, password string) error {
		return costs.Dummy(ctx, crypto.Requester{}, account, []byte(password), nil)
	}
	assert.ErrorIs(t, pretend(t.Context(), "pw"), crypto.ErrWrongSecret)

	slot, err := crypto.NewPasswordSlot(t.Context(), newIdentity(t), account, []byte("pw"), cheap, nil)
	require.NoError(t, err)
	wrong := func() error {
		_, err := slot.OpenPassword(t.Context(), crypto.Requester{}, account, []byte("no"), nil)
		return err
	}
	dummy := func() error { return pretend(t.Context(), "no") }
	// Memory is the part of the work that a busy machine does not blur.
	spent := func(f func() error) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.ErrorIs(t, f(), crypto.ErrWrongSecret)
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc - before.TotalAlloc)
	}
	a, b := spent(wrong), spent(dummy)
	assert.Greater(t, b, float64(7<<20))
	assert.InEpsilon(t, a, b, 0.01, "wrong password and unknown user")

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, pretend(cancelled, "pw"), context.Canceled)
}

func TestSlotKindString(t *testing.T) {
	assert.Equal(t, "password", crypto.SlotPassword.String())
	assert.Equal(t, "token", crypto.SlotToken.String())
	assert.Equal(t, "SlotKind(9)", crypto.SlotKind(9).String())
}
