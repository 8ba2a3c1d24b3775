package mailbox

import (
	"container/list"
	"sync"

	"github.com/letterlock/letterlock/eventlog"
)

// cache holds decoded pages and metadata of all accounts of a process within one
// bound. What it drops is read again when it is asked for.
type cache struct {
	mu    sync.Mutex // protects what follows
	bytes int64
	max   int64
	items map[cacheKey]*list.Element
	order list.List // of *cacheItem, the one used last in front
}

// cacheKey names something immutable: a page, a segment or an entry's metadata.
type cacheKey struct {
	account  eventlog.ID
	object   eventlog.ObjectID
	position ModSeq
}

type cacheItem struct {
	key   cacheKey
	value any
	size  int64
}

func newCache(maxBytes int64) *cache {
	return &cache{max: maxBytes, items: map[cacheKey]*list.Element{}}
}

func (c *cache) get(k cacheKey) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.items[k]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cacheItem).value
}

// put keeps a value of a size in bytes, if that is not more than a quarter of
// the cache, and drops what was not used for longest.
func (c *cache) put(k cacheKey, value any, size int64) {
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

// forget drops all of an account.
func (c *cache) forget(account eventlog.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, e := range c.items {
		if k.account == account {
			c.remove(e)
		}
	}
}

func (c *cache) remove(e *list.Element) {
	i := c.order.Remove(e).(*cacheItem)
	c.bytes -= i.size
	delete(c.items, i.key)
}
