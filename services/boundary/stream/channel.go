package stream

import (
	"strings"

	"github.com/google/uuid"

	"stega/fault"
)

// maxName bounds the names of channels and the ids that clients send.
const maxName = 256

// Wildcards of topic channels.
const (
	anything = "#"
	oneWord  = "*"
)

// channel is one subject of subscriptions, with its subscribers.
type channel struct {
	name      string
	operation string   // of "operation:<id>"
	subject   string   // of "subject:<subject>"
	topic     []string // the words of a topic or a pattern of topics
	wild      bool     // it is a pattern
	subs      []*subscription
	watchers  []*watcher
}

// parseChannel reads the name of a channel.
func parseChannel(name string) (*channel, error) {
	c := &channel{name: name}
	if name == "" || len(name) > maxName {
		return nil, channelFault(name)
	}
	if id, is := strings.CutPrefix(name, "operation:"); is {
		if uuid.Validate(id) != nil || len(id) != 36 {
			return nil, channelFault(name)
		}
		c.operation = id
		return c, nil
	}
	if subject, is := strings.CutPrefix(name, "subject:"); is {
		if subject == "" {
			return nil, channelFault(name)
		}
		c.subject = subject
		return c, nil
	}
	if name == anything {
		c.wild, c.topic = true, []string{anything}
		return c, nil
	}
	c.topic = strings.Split(name, ".")
	for _, word := range c.topic {
		if word == oneWord {
			c.wild = true
		} else if !isWord(word) {
			return nil, channelFault(name)
		}
	}
	return c, nil
}

func isWord(word string) bool {
	return word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	})
}

func channelFault(name string) error {
	return fault.Invalid("channel_malformed", "%q is not a channel", short(name)).
		WithHint("channels are operation:<uuid>, subject:<subject>, a topic such as portfolio.created, " +
			"or a pattern such as portfolio.*, *.created or #")
}

// takes reports whether a topic channel carries an entry.
func (c *channel) takes(e *entry) bool {
	switch {
	case e.again:
		return false
	case c.operation != "":
		return e.operation != nil && e.Subject == c.operation
	case c.subject != "":
		return !e.internal && e.Subject == c.subject
	case !c.wild:
		return e.Type == c.name
	case e.internal && c.topic[0] != "operation":
		return false // a pattern carries what the bus itself publishes only when it names it
	}
	return c.covers(e.words)
}

// covers matches the words of a topic: a star is one word, or the rest when it is the last.
func (c *channel) covers(words []string) bool {
	if c.topic[0] == anything {
		return true
	}
	last := len(c.topic) - 1
	if len(words) < len(c.topic) || len(words) > len(c.topic) && c.topic[last] != oneWord {
		return false
	}
	for i, word := range c.topic {
		if word != oneWord && word != words[i] {
			return false
		}
	}
	return true
}

// index finds the channels that carry an entry. Opening, releasing and matching take time by the words of one
// channel, however many there are.
type index struct {
	channels map[string]*channel
	patterns branch     // the wild ones
	found    []*channel // by the last match
}

// branch is a tree of patterns by their words.
type branch struct {
	next map[string]*branch
	here *channel // whose last word leads here
}

// open finds a channel, or begins it.
func (x *index) open(c *channel) *channel {
	if known := x.channels[c.name]; known != nil {
		return known
	}
	if x.channels == nil {
		x.channels = map[string]*channel{}
	}
	x.channels[c.name] = c
	if c.wild {
		x.patterns.add(c.topic, c)
	}
	return c
}

// release forgets a channel that has no subscriptions any more.
func (x *index) release(c *channel) {
	if len(c.subs)+len(c.watchers) > 0 || x.channels[c.name] != c {
		return
	}
	delete(x.channels, c.name)
	if c.wild {
		x.patterns.remove(c.topic)
	}
}

func (b *branch) add(words []string, c *channel) {
	for _, word := range words {
		next := b.next[word]
		if next == nil {
			next = &branch{}
			if b.next == nil {
				b.next = map[string]*branch{}
			}
			b.next[word] = next
		}
		b = next
	}
	b.here = c
}

// remove takes a pattern out, with the branches that nothing else is on.
func (b *branch) remove(words []string) {
	if len(words) == 0 {
		b.here = nil
		return
	}
	next := b.next[words[0]]
	next.remove(words[1:])
	if next.here == nil && len(next.next) == 0 {
		delete(b.next, words[0])
	}
}

// match lists the channels that carry an entry. The list is good until the next call.
func (x *index) match(e *entry) []*channel {
	x.found = x.found[:0]
	if e.operation != nil {
		x.exact("operation:"+e.Subject, e)
	}
	if !e.internal && e.Subject != "" {
		x.exact("subject:"+e.Subject, e)
	}
	x.exact(e.Type, e)
	if all := x.patterns.next[anything]; all != nil {
		x.offer(all.here, e)
	}
	x.matching(&x.patterns, e.words, e)
	return x.found
}

// matching finds the patterns of a branch that cover words: a star is one word, or the rest when it is the last.
func (x *index) matching(b *branch, words []string, e *entry) {
	if len(words) == 0 {
		return
	}
	if star := b.next[oneWord]; star != nil {
		x.offer(star.here, e)
		x.matching(star, words[1:], e)
	}
	if next := b.next[words[0]]; next != nil {
		if len(words) == 1 {
			x.offer(next.here, e)
		}
		x.matching(next, words[1:], e)
	}
}

func (x *index) exact(name string, e *entry) { x.offer(x.channels[name], e) }

// offer adds a channel that carries an entry.
func (x *index) offer(c *channel, e *entry) {
	if c != nil && c.takes(e) {
		x.found = append(x.found, c)
	}
}
