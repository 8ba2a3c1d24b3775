package pages

import (
	"container/list"
	"context"
	"sync"

	"github.com/letterlock/letterlock/eventlog"
	"github.com/letterlock/letterlock/mailbox/internal/pack"
	"github.com/letterlock/letterlock/mailbox/internal/state"
)

// Cache holds decoded pages and metadata of all accounts of a process within one
// bound. What it drops is read again when it is needed. It may be used from many
// goroutines.
type Cache struct {
	mu    sync.Mutex // protects what follows
	bytes int64
	max   int64
	items map[cacheKey]*list.Element
	order list.List                  // of *cacheItem, the one used last in front
	loads map[cacheKey]chan struct{} // closed when a load under way is over

	hits, misses uint64
}

// cacheKey names something immutable: a page, a segment or an entry's metadata.
type cacheKey struct {
	account  eventlog.ID
	block    pack.BlockID
	position state.ModSeq
}

type cacheItem struct {
	key   cacheKey
	value any
	size  int64
}

// NewCache returns an empty cache of a size in bytes.
func NewCache(maxBytes int64) *Cache {
	return &Cache{max: maxBytes, items: map[cacheKey]*list.Element{}, loads: map[cacheKey]chan struct{}{}}
}

// has reports whether a value is there, and does not count as a use of it.
func (c *Cache) has(k cacheKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.items[k] != nil
}

func (c *Cache) get(k cacheKey) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[k]
	if e == nil {
		c.misses++
		return nil
	}
	c.hits++
	c.order.MoveToFront(e)
	return e.Value.(*cacheItem).value
}

// CacheStats are a cache's figures: its size in bytes and in values, and how often a
// value was there when it was needed, or was not.
type CacheStats struct {
	Bytes        int64
	Items        int
	Hits, Misses uint64
}

// Stats returns the cache's figures.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{Bytes: c.bytes, Items: len(c.items), Hits: c.hits, Misses: c.misses}
}

// put keeps a value of a size in bytes, if that is not more than a quarter of
// the cache, and drops what was not used for longest.
func (c *Cache) put(k cacheKey, value any, size int64) {
	const overhead = 200 // of the list, the map and the item
	size += overhead
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[k]; e != nil || size > c.max/4 {
		return
	}
	c.items[k] = c.order.PushFront(&cacheItem{k, value, size})
	c.bytes += size
	for c.bytes > c.max {
		c.remove(c.order.Back())
	}
}

// load returns what is cached under a key, or else what read returns, which it
// caches. Of calls that miss together one reads and the others wait for it. They
// read themselves if it failed, or if the value is too large to be kept.
func (c *Cache) load(ctx context.Context, k cacheKey, read func() (value any, size int64, err error)) (any, error) {
	for waited := false; ; waited = true {
		v, reading := c.join(k)
		switch {
		case v != nil:
			return v, nil
		case reading == nil:
			return c.lead(k, read)
		case waited:
			v, _, err := read()
			return v, err
		}
		select {
		case <-reading:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// join returns the value of a key; or, if another call reads it, a channel that is
// closed when that call ends; or neither: then the caller reads it.
func (c *Cache) join(k cacheKey) (any, <-chan struct{}) {
	if v := c.get(k); v != nil {
		return v, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.items[k]; e != nil { // meanwhile
		return e.Value.(*cacheItem).value, nil
	}
	if reading := c.loads[k]; reading != nil {
		return nil, reading
	}
	c.loads[k] = make(chan struct{})
	return nil, nil
}

func (c *Cache) lead(k cacheKey, read func() (any, int64, error)) (any, error) {
	defer func() { // also if read panics
		c.mu.Lock()
		defer c.mu.Unlock()
		close(c.loads[k])
		delete(c.loads, k)
	}()
	v, size, err := read()
	if err == nil {
		c.put(k, v, size)
	}
	return v, err
}

// holds reports whether a value of a size would be kept for a while.
func (c *Cache) holds(size int64) bool { return size <= c.max/8 }

// Forget drops all of an account.
func (c *Cache) Forget(account eventlog.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.items {
		if k.account == account {
			c.remove(e)
		}
	}
}

func (c *Cache) remove(e *list.Element) {
	i := c.order.Remove(e).(*cacheItem)
	c.bytes -= i.size
	delete(c.items, i.key)
}
