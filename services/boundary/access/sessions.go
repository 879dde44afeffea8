package access

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"stega/fault"
	"stega/store"
)

// A browser signs in with a one-time link: its code is worth a session once, within linkLife. A session lasts
// sessionLife, ends with the token that made the link, and never has more scope than that token.
const (
	linkLife    = 5 * time.Minute
	sessionLife = 12 * time.Hour
	// maxSessions bounds the links and sessions of one token; the one that expires first makes room.
	maxSessions = 100
)

// sessionRow is a row of the table sessions.
type sessionRow struct {
	bun.BaseModel `bun:"table:sessions"`

	Hash      []byte `bun:",pk"`
	Kind      string // link, session
	TokenID   string
	Scope     Scope
	ExpiresAt int64
}

// newLink makes the code of a one-time link for the holder of a token.
func (t *tokens) newLink(ctx context.Context, token string, scope Scope) (code string, expires time.Time, err error) {
	code, hash := random()
	expires = t.now().Add(linkLife)
	err = t.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		return t.insertSession(ctx, tx, sessionRow{Hash: hash[:], Kind: "link", TokenID: token, Scope: scope,
			ExpiresAt: expires.UnixMicro()})
	})
	return code, expires, err
}

// insertSession stores a link or a session, and removes what has expired.
func (t *tokens) insertSession(ctx context.Context, tx *store.Tx, r sessionRow) error {
	if _, err := tx.NewDelete().Table("sessions").Where("expires_at <= ?", t.now().UnixMicro()).Exec(ctx); err != nil {
		return err
	}
	var hashes [][]byte
	err := tx.NewSelect().Table("sessions").Column("hash").Where("token_id = ?", r.TokenID).
		OrderExpr("expires_at DESC").
		Limit(maxSessions).Offset(maxSessions-1).Scan(ctx, &hashes)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if len(hashes) > 0 {
		if _, err := tx.NewDelete().Table("sessions").Where("hash IN (?)", bun.List(hashes)).Exec(ctx); err != nil {
			return err
		}
	}
	_, err = tx.NewInsert().Model(&r).Exec(ctx)
	return err
}

// signIn trades the code of a link for a session. Of several that send one code, on whatever replica, one gets a
// session.
func (t *tokens) signIn(ctx context.Context, code string) (session string, token Token, err error) {
	used := unauthorized("link_invalid",
		"the link was used, has expired, or is none of this server").WithHint("make another with: stega open")
	by, ok := hashOfRandom(code)
	if !ok {
		return "", Token{}, used
	}
	session, hash := random()
	err = t.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		link := sessionRow{}
		err := tx.NewSelect().Model(&link).Where("hash = ? AND kind = 'link' AND expires_at > ?", by[:],
			t.now().UnixMicro()).Scan(ctx)
		if errors.Is(err, sql.ErrNoRows) {
			return used
		} else if err != nil {
			return err
		}
		gone, err := tx.NewDelete().Table("sessions").Where("hash = ?", by[:]).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err := gone.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, used)
		}
		var r row
		if err := tx.NewSelect().Model(&r).Where("id = ?", link.TokenID).Scan(ctx); err != nil {
			return err
		}
		if err := r.check(t.now()); err != nil {
			return err
		}
		token = r.token()
		token.Scope = link.Scope
		return t.insertSession(ctx, tx, sessionRow{
			Hash: hash[:], Kind: "session", TokenID: link.TokenID, Scope: link.Scope,
			ExpiresAt: t.now().Add(sessionLife).UnixMicro(),
		})
	})
	return session, token, err
}

// signOut ends a session of a token. Other processes notice it within a second.
func (t *tokens) signOut(ctx context.Context, token string, hash digest) error {
	err := t.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.NewDelete().Table("sessions").Where("hash = ? AND kind = 'session'", hash[:]).Exec(ctx)
		return err
	})
	if err != nil {
		return err
	}
	t.cache.forget(token)
	t.watches.endBy(credential{hash, true}, sessionOver())
	return nil
}

func sessionOver() error {
	return unauthorized("session_over", "the session of this browser is over").
		WithHint("sign in again with: stega open")
}

// loadSession reads a session as a row of its token, with the session's scope and the earlier expiry.
func (t *tokens) loadSession(ctx context.Context, hash digest) (*row, error) {
	rows, err := t.loadSessions(ctx, []digest{hash})
	if err != nil && store.Away(err) {
		return nil, t.db.Unavailable(err)
	}
	return rows[hash], err
}

func (t *tokens) loadSessions(ctx context.Context, hashes []digest) (map[digest]*row, error) {
	var rows []row
	err := t.db.Read().NewSelect().TableExpr("sessions AS s").Join("JOIN tokens AS t ON t.id = s.token_id").
		ColumnExpr("t.id, t.name, s.scope, s.hash, t.created_at, t.last_used_at, t.revoked_at").
		ColumnExpr("CASE WHEN t.expires_at > 0 AND t.expires_at < s.expires_at "+
			"THEN t.expires_at ELSE s.expires_at END AS expires_at").
		Where("s.kind = 'session' AND s.hash IN (?)", in(hashes)).Scan(ctx, &rows)
	if err != nil {
		return nil, err
	}
	return byHash(rows), nil
}

// in lists hashes for a query.
func in(hashes []digest) any {
	list := make([][]byte, len(hashes))
	for i := range hashes {
		list[i] = hashes[i][:]
	}
	return bun.List(list)
}

// cookie is the name of the session's cookie. Browsers send cookies to every port of a host, so the port is in the
// name; one that only HTTPS carries has the prefix that browsers enforce.
func (a *Access) cookie(r *http.Request) string {
	name := "stega_session"
	if u, err := url.Parse("//" + r.Host); err == nil && u.Port() != "" {
		name += "_" + u.Port()
	}
	if a.secure(r) {
		name = "__Host-" + name
	}
	return name
}

// secure reports whether a client came over TLS: to this process, or to a trusted proxy that says so.
func (a *Access) secure(r *http.Request) bool {
	return r.TLS != nil || a.isProxy(remote(r)) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

// session is the caller by the session of a browser; false: the request has none that counts. A cookie counts only
// for requests of the server's own pages, and, when they only read, for those that a person makes by an address or a
// bookmark.
func (g *guard) session(r *http.Request) (hash digest, ok bool) {
	if g.tokens == nil {
		return hash, false
	}
	c, err := r.Cookie(g.cookie(r))
	if err != nil {
		return hash, false
	}
	site := r.Header.Get("Sec-Fetch-Site")
	own := site == "same-origin" || r.Header.Get("Origin") != ""
	switch {
	case !sameOrigin(r, g.secure(r)), !own && (!safe(r.Method) || isWebSocket(r)):
		return hash, false
	}
	return hashOfRandom(c.Value)
}

// linkScope is the scope of a link that a caller makes.
func linkScope(c Caller, asked Scope) (Scope, error) {
	switch {
	case asked == Open:
		return c.Scope, nil
	case !asked.Covers(Read):
		return Open, unknownScope(asked)
	case !c.Scope.Covers(asked):
		return Open, fault.New(fault.KindForbidden, "scope_missing",
			"a link of scope %s takes a token of that scope, and that of %q is %s", asked, c.Name, c.Scope)
	}
	return asked, nil
}
