package web

import (
	"container/list"
	"sync"
)

// cache keeps the values that were used last, as many as have room together.
type cache[K comparable, V any] struct {
	mu   sync.Mutex
	room int64 // bytes
	held int64
	used list.List // of *kept[K, V], the one that was used last in front
	at   map[K]*list.Element
}

type kept[K comparable, V any] struct {
	key   K
	value V
	size  int64
}

func newCache[K comparable, V any](room int64) *cache[K, V] {
	return &cache[K, V]{room: room, at: map[K]*list.Element{}}
}

// get returns a value that is kept.
func (c *cache[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.find(key); k != nil {
		return k.value, true
	}
	return value, false
}

// getOrMake returns the value that is kept, or keeps a new one.
func (c *cache[K, V]) getOrMake(key K, make func() (value V, size int64)) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.find(key); k != nil {
		return k.value
	}
	value, size := make()
	c.keep(key, value, size)
	return value
}

// put keeps a value, or notes that one that is kept has grown.
func (c *cache[K, V]) put(key K, value V, size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, value, size)
}

// keep lets what was used longest ago make room; a value that is larger than
// all of it is not kept.
func (c *cache[K, V]) keep(key K, value V, size int64) {
	k := c.find(key)
	if k == nil {
		k = &kept[K, V]{key: key}
		c.at[key] = c.used.PushFront(k)
	}
	c.held += size - k.size
	k.value, k.size = value, size
	for c.held > c.room {
		c.drop()
	}
}

// find marks the value as used.
func (c *cache[K, V]) find(key K) *kept[K, V] {
	e := c.at[key]
	if e == nil {
		return nil
	}
	c.used.MoveToFront(e)
	k, _ := e.Value.(*kept[K, V]) // nothing else is in the list
	return k
}

func (c *cache[K, V]) drop() {
	k, _ := c.used.Remove(c.used.Back()).(*kept[K, V]) // nothing else is in the list
	c.held -= k.size
	delete(c.at, k.key)
}
