package access

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound how often one token, or one address without a token, may ask.
type Limits struct {
	Rate  float64 // requests a second; 0 is 200, less is no limit
	Burst int     // requests at once; 0 is twice the rate
}

const (
	defaultRate = 200
	// maxLimiters bounds the memory; those who come when it is reached share one limiter.
	maxLimiters = 20_000
	// Looks for tokens that are not known yet: of one address and first byte of the hash, and of all together.
	lookupRate  = 4
	lookupBurst = 8
	maxLookups  = 2000
)

// limiters has a limiter for each that asks.
type limiters struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	of      map[string]*rate.Limiter
	others  *rate.Limiter
	lookups *rate.Limiter // of tokens that are not known yet, from all addresses
	swept   time.Time
}

func newLimiters(l Limits, now func() time.Time) *limiters {
	if l.Rate == 0 {
		l.Rate = defaultRate
	}
	if l.Burst <= 0 {
		l.Burst = max(1, int(2*l.Rate))
	}
	return &limiters{limits: l, now: now, of: map[string]*rate.Limiter{},
		others:  rate.NewLimiter(rate.Limit(l.Rate), l.Burst),
		lookups: rate.NewLimiter(maxLookups, maxLookups),
	}
}

// take counts one request; a wait of more than nothing says that it is too many, and when one may ask again.
func (l *limiters) take(who string) (wait time.Duration) {
	if l.limits.Rate < 0 {
		return 0
	}
	now := l.now()
	return reserve(l.limiter(who, rate.Limit(l.limits.Rate), l.limits.Burst, now), now)
}

// lookup counts a look for a token that is not known yet, by the first byte of its hash: whoever guesses from an
// address exhausts some of the buckets of that address, and all of them together are less than what all addresses
// have.
func (l *limiters) lookup(network string, first byte) (wait time.Duration) {
	if l.limits.Rate < 0 {
		return 0
	}
	now := l.now()
	if wait = reserve(l.limiter(fmt.Sprintf("%s %02x", network, first), lookupRate, lookupBurst, now), now); wait > 0 {
		return wait
	}
	return reserve(l.lookups, now)
}

func reserve(limiter *rate.Limiter, now time.Time) (wait time.Duration) {
	r := limiter.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (l *limiters) limiter(who string, limit rate.Limit, burst int, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if found := l.of[who]; found != nil {
		return found
	}
	if len(l.of) >= maxLimiters {
		l.sweep(now)
	}
	// Making room by force would give an attacker with many addresses the power to reset the limits of others.
	if len(l.of) >= maxLimiters {
		return l.others
	}
	made := rate.NewLimiter(limit, burst)
	l.of[who] = made
	return made
}

// sweep forgets limiters that are full again: a new one is the same. It looks at all, so at most once a second.
func (l *limiters) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Second {
		return
	}
	l.swept = now
	for who, limiter := range l.of {
		if limiter.TokensAt(now) >= float64(limiter.Burst()) {
			delete(l.of, who)
		}
	}
}

// network is what is limited together: an IPv4 address, or the /64 that one holder of IPv6 addresses usually has.
func network(addr netip.Addr) string {
	if addr = addr.Unmap(); addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}
