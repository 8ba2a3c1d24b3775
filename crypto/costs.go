package crypto

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
)

// maxCosts bounds how many accounts a [Costs] remembers, at about 50 bytes each.
const maxCosts = 256

// Costs remembers what deriving a key costs for accounts of a store, so that a
// login to an account that does not exist can cost as much: nobody can tell by the
// clock which names exist, also while some accounts have the parameters of today
// and others those from before. Its methods may be called from many goroutines.
type Costs struct {
	today PasswordParams

	mu   sync.Mutex // protects what follows
	seen map[[16]byte]PasswordParams
}

// NewCosts returns a Costs that has seen no account. today is what new slots are
// made with; zero means [DefaultPasswordParams].
func NewCosts(today PasswordParams) *Costs {
	return &Costs{today: today.orDefault(), seen: map[[16]byte]PasswordParams{}}
}

// Today returns the parameters of new slots.
func (c *Costs) Today() PasswordParams { return c.today }

// Saw notes the parameters of an account's password slot.
func (c *Costs) Saw(account [16]byte, p PasswordParams) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.seen[account]; !ok && len(c.seen) >= maxCosts {
		for other := range c.seen { // in random order
			delete(c.seen, other)
			break
		}
	}
	c.seen[account] = p
}

// For returns the parameters that an account which does not exist has. As many
// of these accounts as of those that exist have the same parameters. Which ones is
// decided by the first 8 bytes of the account, which must be uniformly
// distributed; with time an account goes from the costlier parameters to the
// cheaper ones or back, as existing ones do whose slot is renewed.
func (c *Costs) For(account [16]byte) PasswordParams {
	c.mu.Lock()
	seen := make([]PasswordParams, 0, len(c.seen))
	for _, p := range c.seen {
		seen = append(seen, p)
	}
	c.mu.Unlock()
	if len(seen) == 0 {
		return c.today
	}
	slices.SortFunc(seen, PasswordParams.compare)
	share := float64(binary.BigEndian.Uint64(account[:])>>11) / (1 << 53) // 0 to 1, without 1
	return seen[int(share*float64(len(seen)))]
}

// Dummy does the work of [Slot.OpenPassword] for an account that does not exist.
// It returns an error that matches [ErrWrongSecret], as for a wrong password, or
// fails like [Pool.Key]. See For about account.
func (c *Costs) Dummy(ctx context.Context, who Requester, account [16]byte, password []byte, pool *Pool) error {
	s := Slot{Kind: SlotPassword, Params: c.For(account)}
	_, err := s.OpenPassword(ctx, who, account, password, pool)
	return err
}
