package crypto

// What only tests may reach for: a fixed nonce makes a frozen vector, and the
// queue of a Pool can be watched without spending real memory.
var (
	SealWith    = Key.sealWith
	PoolAcquire = (*Pool).acquire
	PoolRelease = (*Pool).release
)

// PoolOnCollect calls f where p would collect garbage, and tells whether that is
// because the pool is idle.
func PoolOnCollect(p *Pool, f func(idle bool)) {
	p.collect, p.reclaim = func() { f(false) }, func() { f(true) }
}

// TokenSecret and IdentitySeed return what must not print.
func TokenSecret(t Token) []byte       { return t.secret.Bytes() }
func Pepper(k *StoreKey) Key           { return k.pepper }
func IdentitySeed(id *Identity) []byte { return id.secret.seed.Bytes() }

// PoolUsed returns the bytes granted, the bytes of garbage and the number waiting.
func PoolUsed(p *Pool) (used, garbage int64, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.garbage, p.queue.size()
}

// VerifiedLen returns the number of passwords remembered, by each index.
func VerifiedLen(v *Verified) (entries, byTag, bySlot int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.entries.Len(), len(v.byTag), len(v.bySlot)
}
