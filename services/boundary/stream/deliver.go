package stream

import "slices"

// A client's channels of one entry are bits of a mask, so at most this many are told apart at a time.
const maskBits = 64

// shared are the frames of one entry, by the channels that they name.
type shared struct {
	mask    uint64
	names   string
	payload []byte
	frames  [forms][]byte
}

// deliver queues an entry for its subscribers. The lock is held.
func (h *Hub) deliver(e *entry) {
	for channels := range slices.Chunk(h.index.match(e), maskBits) {
		h.deliverTo(e, channels)
	}
}

func (h *Hub) deliverTo(e *entry, channels []*channel) {
	h.hit = h.hit[:0]
	for bit, c := range channels {
		for _, w := range c.watchers {
			w.take(e)
		}
		for _, s := range c.subs {
			if s.live {
				h.hit = s.client.mark(bit, s, h.hit)
			}
		}
	}
	var cache []shared
	for _, c := range h.hit {
		mask, firm := c.unmark()
		cache = c.push(e, mask, firm, channels, cache)
	}
	clear(h.hit)
}

// mark notes that a client gets the entry in hand by one more channel.
func (c *client) mark(bit int, s *subscription, hit []*client) []*client {
	if c.mask == 0 {
		hit = append(hit, c)
	}
	c.mask |= 1 << bit
	c.firm = c.firm || !s.coalesce
	return hit
}

func (c *client) unmark() (mask uint64, firm bool) {
	mask, firm = c.mask, c.firm
	c.mask, c.firm = 0, false
	return mask, firm
}

// push queues an entry for a client. Frames are made once for a set of channels.
func (c *client) push(e *entry, mask uint64, firm bool, channels []*channel, cache []shared) []shared {
	i := slices.IndexFunc(cache, func(s shared) bool { return s.mask == mask })
	if i < 0 {
		i = len(cache)
		cache = append(cache, makeShared(e, mask, channels))
	}
	s := &cache[i]
	if s.frames[c.form] == nil {
		s.frames[c.form] = pushFrame(c.form, e, s.payload)
	}
	it := item{frame: s.frames[c.form], read: e.read.UnixNano()}
	if !firm {
		it.key = s.names + " " + e.Type + " " + e.Subject
	}
	c.sentPosition = e.Position
	c.h.metrics.pushes.Inc()
	c.send(it)
	return cache
}

func makeShared(e *entry, mask uint64, channels []*channel) shared {
	s := shared{mask: mask}
	set := make([]*channel, 0, len(channels))
	for bit, c := range channels {
		if mask&(1<<bit) != 0 {
			set = append(set, c)
			s.names += c.name + " "
		}
	}
	s.payload = pushPayload(e, set)
	return s
}
