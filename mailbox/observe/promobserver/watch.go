package promobserver

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/letterlock/letterlock/crypto"
	"github.com/letterlock/letterlock/mailbox"
)

// Watch adds what a store and its pool of password derivations hold in memory,
// which is asked for at each scrape. A registry has room for one store.
func (o *Observer) Watch(s *mailbox.Store) error {
	store := func(get func(mailbox.StoreStats) float64) func() float64 {
		return func() float64 { return get(s.Stats()) }
	}
	pool := func(get func(crypto.PoolStats) float64) func() float64 {
		return func() float64 { return get(s.Pool().Stats()) }
	}
	var errs []error
	gauge := func(name, help string, get func() float64) {
		errs = append(errs, o.registry.Register(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "letterlock", Name: name, Help: help}, get)))
	}
	counter := func(name, help string, get func() float64) {
		errs = append(errs, o.registry.Register(prometheus.NewCounterFunc(
			prometheus.CounterOpts{Namespace: "letterlock", Name: name, Help: help}, get)))
	}
	gauge("accounts_open", "Accounts that are open, each with any number of sessions.",
		store(func(s mailbox.StoreStats) float64 { return float64(s.Accounts) }))
	gauge("inboxes", "Accounts whose place in the log is remembered for delivery.",
		store(func(s mailbox.StoreStats) float64 { return float64(s.Inboxes) }))
	gauge("cache_bytes", "Bytes of decoded pages and metadata in the cache.",
		store(func(s mailbox.StoreStats) float64 { return float64(s.CacheBytes) }))
	gauge("cache_items", "Decoded pages and metadata in the cache.",
		store(func(s mailbox.StoreStats) float64 { return float64(s.CacheItems) }))
	counter("cache_hits_total", "Pages and metadata found in the cache.",
		store(func(s mailbox.StoreStats) float64 { return float64(s.CacheHits) }))
	counter("cache_misses_total", "Pages and metadata not found in the cache.",
		store(func(s mailbox.StoreStats) float64 { return float64(s.CacheMisses) }))
	gauge("password_running", "Password derivations (argon2id) that run.",
		pool(func(p crypto.PoolStats) float64 { return float64(p.Running) }))
	gauge("password_waiting", "Password derivations that wait for their turn.",
		pool(func(p crypto.PoolStats) float64 { return float64(p.Waiting) }))
	gauge("password_memory_bytes", "Memory of the password derivations that run.",
		pool(func(p crypto.PoolStats) float64 { return float64(p.Memory) }))
	gauge("password_budget_bytes", "Memory that all password derivations may take together.",
		pool(func(p crypto.PoolStats) float64 { return float64(p.Budget) }))
	counter("password_derivations_total", "Password derivations started.",
		pool(func(p crypto.PoolStats) float64 { return float64(p.Started) }))
	counter("password_refused_total", "Password derivations that did not start in time.",
		pool(func(p crypto.PoolStats) float64 { return float64(p.Refused) }))
	return errors.Join(errs...)
}
