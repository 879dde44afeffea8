package access

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/internal/wait"
	"stega/store"
)

func TestLifeOfAToken(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		db, clock, notes := open(t, url), newClock(), &notebook{}
		a := New(db, Options{Now: clock.now, Log: notes.log()})
		run(t, a)
		h := door(a, outside)
		_, root, err := a.tokens.create(t.Context(), "root", Admin, 0)
		require.NoError(t, err)

		made := ask(t, h, "POST", "/v1/tokens", `{"name":" ci ","scope":"write","expires_in":"90d"}`, bearer(root)...)
		require.Equal(t, http.StatusCreated, made.Code, "%s", made.Body)
		assert.Equal(t, "no-store", made.Header().Get("Cache-Control"))
		var ci Made
		made.json(&ci)
		assert.Equal(t, "ci", ci.Name)
		assert.Equal(t, Write, ci.Scope)
		assert.Equal(t, clock.now().Add(90*24*time.Hour), *ci.ExpiresAt)
		assert.Regexp(t, `^stega_[A-Za-z0-9_-]{43}$`, ci.Text)

		assert.Equal(t, 204, ask(t, h, "GET", "/v1/portfolios", "", bearer(ci.Text)...).Code)
		assert.Equal(t, 204, ask(t, h, "POST", "/v1/portfolios", "", "Authorization", "bearer "+ci.Text).Code,
			"the scheme is of either case")
		assert.Equal(t, 403, ask(t, h, "GET", "/v1/tokens", "", bearer(ci.Text)...).Code)

		var list struct{ Items []Token }
		wait.Until(t, "it is written that the token was used", func() bool {
			ask(t, h, "GET", "/v1/tokens", "", bearer(root)...).json(&list)
			return len(list.Items) == 2 && list.Items[1].LastUsedAt != nil
		})
		assert.Equal(t, "ci", list.Items[1].Name)
		assert.Equal(t, clock.now(), *list.Items[1].LastUsedAt)

		assert.Equal(t, "token_name_taken", ask(t, h, "POST", "/v1/tokens", `{"name":"ci","scope":"read"}`,
			bearer(root)...).code())
		assert.Equal(t, 204, ask(t, h, "DELETE", "/v1/tokens/"+ci.ID, "", bearer(root)...).Code)
		assert.Equal(t, "token_revoked", ask(t, h, "GET", "/v1/portfolios", "", bearer(ci.Text)...).code(), "at once")
		assert.Equal(t, 204, ask(t, h, "DELETE", "/v1/tokens/"+ci.ID, "", bearer(root)...).Code, "again")
		assert.Equal(t, "token_not_found", ask(t, h, "DELETE", "/v1/tokens/nobody", "", bearer(root)...).code())
		assert.Equal(t, 201, ask(t, h, "POST", "/v1/tokens", `{"name":"ci","scope":"read","expires_in":"1h"}`,
			bearer(root)...).Code, "the name is free")

		var stored []string
		require.NoError(t, db.Read().NewSelect().Table("tokens").Column("hash").Scan(t.Context(), &stored))
		for _, secret := range []string{root, ci.Text} {
			assert.NotContains(t, notes.String(), secret)
			assert.NotContains(t, strings.Join(stored, " "), secret)
			hash, ok := hashOf(secret)
			require.True(t, ok)
			assert.Contains(t, hex.EncodeToString([]byte(strings.Join(stored, ""))), hex.EncodeToString(hash[:]))
		}
	})
}

func TestTokensExpire(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := New(open(t, sqlite(t)), Options{Now: clock.now})
	h := door(a, outside)
	_, text, err := a.tokens.create(t.Context(), "short", Read, time.Hour)
	require.NoError(t, err)
	clock.pass(time.Hour - time.Microsecond)
	assert.Equal(t, 204, ask(t, h, "GET", "/v1/symbols", "", bearer(text)...).Code)
	clock.pass(time.Microsecond)
	assert.Equal(t, "token_expired", ask(t, h, "GET", "/v1/symbols", "", bearer(text)...).code(),
		"although it was cached a moment ago")
}

func TestTokensThatCannotBeMadeAreRefused(t *testing.T) {
	t.Parallel()
	a := New(open(t, sqlite(t)), Options{})
	h := door(a, inside)
	_, boss, err := a.tokens.create(t.Context(), "boss", Admin, 0)
	require.NoError(t, err)
	here := bearer(boss)
	for _, c := range []struct{ body, code string }{
		{`{"name":"","scope":"read"}`, "token_name_invalid"},
		{`{"name":"local","scope":"read"}`, "token_name_invalid"},
		{`{"name":"service","scope":"read"}`, "token_name_invalid"},
		{`{"name":"a\u0000b","scope":"read"}`, "token_name_invalid"},
		{`{"name":"` + strings.Repeat("x", 101) + `","scope":"read"}`, "token_name_invalid"},
		{`{"name":"x","scope":""}`, "scope_unknown"},
		{`{"name":"x","scope":"root"}`, "scope_unknown"},
		{`{"name":"x","scope":"read","expires_in":"-1h"}`, "expiry_invalid"},
		{`{"name":"x","scope":"read","expires_in":"0d"}`, "expiry_invalid"},
		{`{"name":"x","scope":"read","expires_in":"soon"}`, "expiry_invalid"},
		{`{"name":"x","scope":"read","expires_in":"99999999h"}`, "expiry_invalid"},
		{`{"name":"x","scopes":"read"}`, "field_unknown"},
	} {
		assert.Equal(t, c.code, ask(t, h, "POST", "/v1/tokens", c.body, here...).code(), c.body)
	}
	assert.Equal(t, "parameter_unknown", ask(t, h, "GET", "/v1/tokens?page=2", "", here...).code())
}

// Two processes share a database: what one revokes, the other refuses within a second.
func TestRevocationReachesOtherProcesses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		clock := newClock()
		one, other := New(open(t, url), Options{Now: clock.now}), New(open(t, url), Options{Now: clock.now})
		token, text, err := one.tokens.create(t.Context(), "shared", Read, 0)
		require.NoError(t, err)
		h := door(other, outside)
		require.Equal(t, 204, ask(t, h, "GET", "/v1/symbols", "", bearer(text)...).Code)
		revoke(t, one, token.ID)
		clock.pass(time.Second)
		assert.Equal(t, "token_revoked", ask(t, h, "GET", "/v1/symbols", "", bearer(text)...).code())
	})
}

func TestTokensSurviveARestart(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		file := filepath.Join(t.TempDir(), "token")
		var before string
		for start := range 3 {
			db, err := store.Open(t.Context(), "boundary", url)
			require.NoError(t, err)
			if start == 0 {
				require.NoError(t, db.Close())
				db = open(t, url)
			}
			a := New(db, Options{})
			require.NoError(t, a.KeepLocal(t.Context(), file))
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			if start > 0 {
				assert.Equal(t, before, string(b))
			}
			before = string(b)
			h := door(a, outside)
			got := ask(t, h, "GET", "/v1/audit", "", bearer(strings.TrimSpace(before))...)
			assert.Equal(t, 200, got.Code, "%s", got.Body)
			assert.Equal(t, 1, count(t, db, "tokens"))
			require.NoError(t, db.Close())
		}
	})
}

func TestTheTokenOfThisMachine(t *testing.T) {
	t.Parallel()
	db, file := open(t, sqlite(t)), filepath.Join(t.TempDir(), "token")
	a := New(db, Options{})
	read := func() string {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		return strings.TrimSpace(string(b))
	}
	use := func(text string) string {
		_, err := a.Authorize(t.Context(), text, Admin)
		if err == nil {
			return ""
		}
		return err.Error()
	}
	require.NoError(t, a.KeepLocal(t.Context(), file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	first := read()
	assert.Empty(t, use(first))

	t.Log("rights that others were given are taken away")
	require.NoError(t, os.Chmod(file, 0o644))
	require.NoError(t, a.KeepLocal(t.Context(), file))
	info, err = os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	t.Log("a file that was removed is made again, and what was in it is worth nothing")
	require.NoError(t, os.Remove(file))
	require.NoError(t, a.KeepLocal(t.Context(), file))
	second := read()
	assert.NotEqual(t, first, second)
	assert.Contains(t, use(first), "revoked")
	assert.Empty(t, use(second))

	t.Log("one that was revoked is replaced")
	caller, err := a.Authorize(t.Context(), second, Read)
	require.NoError(t, err)
	assert.Equal(t, Caller{Token: caller.Token, Name: "local", Scope: Admin, Via: ViaToken}, caller)
	revoke(t, a, caller.Token)
	require.NoError(t, a.KeepLocal(t.Context(), file))
	third := read()
	assert.NotEqual(t, second, third)
	assert.Empty(t, use(third))

	t.Log("a database that knows nothing of the file takes its token")
	fresh := New(open(t, sqlite(t)), Options{})
	require.NoError(t, fresh.KeepLocal(t.Context(), file))
	_, err = fresh.Authorize(t.Context(), third, Admin)
	require.NoError(t, err)
	assert.Equal(t, third, read())

	require.NoError(t, os.WriteFile(file, []byte("hello\n"), 0o600))
	assert.ErrorContains(t, a.KeepLocal(t.Context(), file), "has no token")
	assert.ErrorContains(t, a.KeepLocal(t.Context(), filepath.Join(file, "token")), "cannot be read")
	assert.ErrorContains(t, a.KeepLocal(t.Context(), filepath.Join(t.TempDir(), "none", "token")), "cannot be written")
}

func TestOfManyWhoShowATokenOneLooksItUp(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c := cache{entries: map[digest]*cached{}}
	hash := digest{1}
	var loads atomic.Int32
	release := make(chan struct{})
	load := func(context.Context, digest) (*row, error) {
		loads.Add(1)
		<-release
		return &row{ID: "a", Hash: hash[:]}, nil
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			r, err := c.get(t.Context(), hash, clock.now, load)
			assert.NoError(t, err)
			assert.Equal(t, "a", r.ID)
		})
	}
	wait.Until(t, "one looks", func() bool { return loads.Load() == 1 })
	close(release)
	all.Wait()
	looked := loads.Load()
	_, err := c.get(t.Context(), hash, clock.now, load)
	require.NoError(t, err)
	assert.Equal(t, looked, loads.Load(), "and it is remembered")
	clock.pass(fresh)
	_, err = c.get(t.Context(), hash, clock.now, load)
	require.NoError(t, err)
	assert.Equal(t, looked+1, loads.Load(), "for a while")
}

// A look that began before a revocation has read the token as it was: it must not be remembered, and nobody who comes
// later may share it.
func TestALookFromBeforeARevocationIsNotRemembered(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c := cache{entries: map[digest]*cached{}}
	hash := digest{1}
	reading, release := make(chan struct{}), make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		_, _ = c.get(t.Context(), hash, clock.now, func(context.Context, digest) (*row, error) {
			close(reading)
			<-release
			return &row{ID: "a"}, nil
		})
	}()
	<-reading
	c.forget("a")
	r, err := c.get(t.Context(), hash, clock.now, func(context.Context, digest) (*row,
		error) {
		return &row{ID: "a", RevokedAt: 1}, nil
	})
	require.NoError(t, err)
	assert.Equal(t, int64(1), r.RevokedAt)
	close(release)
	<-over
	r, err = c.get(t.Context(), hash, clock.now, nil)
	require.NoError(t, err)
	assert.Equal(t, int64(1), r.RevokedAt)
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	clock := newClock()
	c := cache{entries: map[digest]*cached{}}
	for i := range maxCached + 500 {
		hash := digest(fmt.Appendf(make([]byte, 0, 32), "%032d", i))
		_, err := c.get(t.Context(), hash, clock.now, func(context.Context, digest) (*row,
			error) {
			return &row{ID: hex.EncodeToString(hash[:])}, nil
		})
		require.NoError(t, err)
	}
	assert.LessOrEqual(t, len(c.entries), maxCached)
	_, err := c.get(t.Context(), digest{9}, clock.now, func(context.Context, digest) (*row, error) { return nil, nil })
	require.NoError(t, err)
	assert.False(t, c.holds(digest{9}), "what does not exist is not remembered")
}

func TestWhenATokenWasLastUsedIsWrittenOnceAMinute(t *testing.T) {
	t.Parallel()
	clock := newClock()
	a := New(open(t, sqlite(t)), Options{Now: clock.now})
	_, text, err := a.tokens.create(t.Context(), "busy", Read, 0)
	require.NoError(t, err)
	for range 70 {
		_, err := a.tokens.verify(t.Context(), text)
		require.NoError(t, err)
		clock.pass(time.Second)
	}
	assert.Len(t, a.tokens.used, 2)
}

func TestNobodyComesInWhenTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	clock := newClock()
	db := open(t, sqlite(t))
	a := New(db, Options{Now: clock.now})
	_, text, err := a.tokens.create(t.Context(), "x", Admin, 0)
	require.NoError(t, err)
	h := door(a, outside)
	require.Equal(t, 204, ask(t, h, "GET", "/v1/symbols", "", bearer(text)...).Code)
	require.NoError(t, db.Close())
	clock.pass(time.Second)
	got := ask(t, h, "GET", "/v1/symbols", "", bearer(text)...)
	assert.GreaterOrEqual(t, got.Code, 500, "%s", got.Body)
	assert.NotContains(t, got.Body.String(), text)
}

func TestOnlyTokensLookLikeTokens(t *testing.T) {
	t.Parallel()
	text, hash := newSecret()
	got, ok := hashOf(text)
	assert.True(t, ok)
	assert.Equal(t, hash, got)
	for _, bad := range []string{
		"", "stega_", text[:len(text)-1], text + "A", strings.ToUpper(text), strings.TrimPrefix(text, "stega_"),
		text + "\n",
		text + "=",
		"stega_" + strings.Repeat("!", 43), "stega_" + strings.Repeat("A", 42) + "B", // bits that no encoder sets
	} {
		_, ok := hashOf(bad)
		assert.False(t, ok, bad)
	}
}
