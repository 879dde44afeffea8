package access

import (
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
)

// limiters has a limiter for each that asks.
type limiters struct {
	limits Limits
	now    func() time.Time

	mu     sync.Mutex
	of     map[string]*rate.Limiter
	others *rate.Limiter
	swept  time.Time
}

func newLimiters(l Limits, now func() time.Time) *limiters {
	if l.Rate == 0 {
		l.Rate = defaultRate
	}
	if l.Burst <= 0 {
		l.Burst = max(1, int(2*l.Rate))
	}
	return &limiters{limits: l, now: now, of: map[string]*rate.Limiter{}, others: rate.NewLimiter(rate.Limit(l.Rate), l.Burst)}
}

// take counts one request; a wait of more than nothing says that it is too many, and when one may ask again.
func (l *limiters) take(who string) (wait time.Duration) {
	if l.limits.Rate < 0 {
		return 0
	}
	now := l.now()
	r := l.limiter(who, now).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (l *limiters) limiter(who string, now time.Time) *rate.Limiter {
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
	made := rate.NewLimiter(rate.Limit(l.limits.Rate), l.limits.Burst)
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
		if limiter.TokensAt(now) >= float64(l.limits.Burst) {
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
