package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/uptrace/bun"
	"golang.org/x/text/unicode/norm"

	"stega/events"
	"stega/fault"
	"stega/store"
	"stega/text"
)

// Token is what is known of a token. The token itself is told once, when it is made.
type Token struct {
	ID         string     `json:"id"`
	Name       string     `json:"name"`
	Scope      Scope      `json:"scope"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"` // to the minute
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
}

// row is a row of the table tokens.
type row struct {
	bun.BaseModel `bun:"table:tokens"`

	ID         string `bun:",pk"`
	Name       string
	Scope      Scope
	Hash       []byte
	CreatedAt  int64
	ExpiresAt  int64
	LastUsedAt int64
	RevokedAt  int64
}

func (r *row) token() Token {
	return Token{
		ID: r.ID, Name: r.Name, Scope: r.Scope, CreatedAt: moment(r.CreatedAt), ExpiresAt: some(r.ExpiresAt),
		LastUsedAt: some(r.LastUsedAt), RevokedAt: some(r.RevokedAt),
	}
}

func moment(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

func some(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := moment(micros)
	return &t
}

// A token as text is the prefix, by which people and scanners know it, and 32 random bytes.
const (
	prefix      = "stega_"
	secretBytes = 32
)

type digest = [sha256.Size]byte

// newSecret makes the text of a token, and what is stored of it.
func newSecret() (text string, hash digest) {
	text, hash = random()
	return prefix + text, hash
}

// random makes random bytes as text, and their hash.
func random() (text string, hash digest) {
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(secret[:]), sha256.Sum256(secret[:])
}

// hashOf is what is stored of a token; false when the text is none.
func hashOf(text string) (hash digest, ok bool) {
	encoded, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return hash, false
	}
	return hashOfRandom(encoded)
}

// hashOfRandom is the hash of what random made.
func hashOfRandom(encoded string) (hash digest, ok bool) {
	if len(encoded) != base64.RawURLEncoding.EncodedLen(secretBytes) {
		return hash, false
	}
	secret, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(secret) != secretBytes {
		return hash, false
	}
	return sha256.Sum256(secret), true
}

// tokens are those of the boundary's database.
type tokens struct {
	db      *store.DB
	log     *slog.Logger
	now     func() time.Time
	cache   cache
	used    chan use
	watches watches
}

func newTokens(db *store.DB, o Options) *tokens {
	return &tokens{
		db:    db,
		log:   o.Log,
		now:   o.Now,
		cache: cache{entries: map[digest]*cached{}},
		used:  make(chan use, 256),
	}
}

// maxName bounds the name of a token.
const maxName = 100

// create makes a token that expires after a time; 0 is never.
func (t *tokens) create(ctx context.Context, name string, scope Scope, expires time.Duration) (Token, string, error) {
	name, err := checkName(name)
	if err != nil {
		return Token{}, "", err
	}
	if scope == Open || !scope.Covers(Read) {
		return Token{}, "", unknownScope(scope)
	}
	if expires < 0 {
		return Token{}, "", fault.Invalid("expiry_invalid", "a token cannot have expired when it is made").
			With(fault.Item{Pointer: "/expires_in", Detail: "is in the past"})
	}
	text, hash := newSecret()
	r := t.row(name, scope, hash)
	if expires > 0 {
		r.ExpiresAt = t.now().Add(expires).UnixMicro()
	}
	err = t.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error { return insert(ctx, tx, r) })
	return r.token(), text, err
}

func unknownScope(scope Scope) error {
	return fault.Invalid("scope_unknown", "there is no scope %.40q", string(scope)).
		With(fault.Item{Pointer: "/scope",
			Detail: "is not known"}).WithHint("the scopes are read, write, admin; each covers those before it")
}

func (t *tokens) row(name string, scope Scope, hash digest) *row {
	return &row{ID: events.NewID(), Name: name, Scope: scope, Hash: hash[:], CreatedAt: t.now().UnixMicro()}
}

func insert(ctx context.Context, tx *store.Tx, r *row) error {
	if _, err := tx.NewInsert().Model(r).Exec(ctx); store.Conflict(err) {
		return fault.Conflict("token_name_taken", "there is a token named %q already", r.Name).
			WithHint("choose another name, or revoke that one first: stega token revoke %s", r.Name)
	} else if err != nil {
		return err
	}
	return nil
}

// checkName returns the name of a token in the form in which it is kept, or why it is refused.
func checkName(name string) (string, error) {
	kept, err := text.CheckName(strings.TrimSpace(name), maxName)
	if err == nil && (resembles(kept, local) || resembles(kept, service)) {
		err = errors.New("is one that stega uses itself, or looks like it")
	}
	if err != nil {
		return "", fault.Invalid("token_name_invalid", "the name of a token %s",
			err).With(fault.Item{Pointer: "/name", Detail: err.Error()})
	}
	return kept, nil
}

// lookalikes are letters and digits that people take for those of a reserved name.
var lookalikes = strings.NewReplacer(
	"1", "l", "|", "l", "i", "l", "ı", "l", "ӏ", "l", "і", "l", "ι", "l", "ⅼ", "l", "0", "o", "о", "o", "ο", "o", "օ",
	"o",
	"с", "c", "ϲ", "c",
	"а", "a", "α", "a", "ѕ", "s", "5", "s", "ꜱ", "s", "е", "e", "ε", "e", "ҽ", "e", "г", "r", "ν", "v", "ѵ", "v", "υ",
	"v",
)

// resembles reports whether people may take a name for a reserved one: whatever its case, accents, width, or alphabet.
func resembles(name, reserved string) bool {
	return skeleton(name) == skeleton(reserved)
}

func skeleton(name string) string {
	bare := strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn, unicode.Me) || unicode.IsSpace(r) || unicode.IsPunct(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(name))
	return lookalikes.Replace(bare)
}

// list is the tokens in the order in which they were made, from after one.
func (t *tokens) list(ctx context.Context, limit int, after string) ([]Token, error) {
	var rows []row
	if err := t.db.Read().NewSelect().Model(&rows).Where("id > ?",
		after).OrderExpr("id").Limit(int64(limit)).Scan(ctx); err != nil {
		return nil, err
	}
	list := make([]Token, len(rows))
	for i := range rows {
		list[i] = rows[i].token()
	}
	return list, nil
}

// revoke ends a token, its sessions, and all requests and streams that came in with them: in this process at once and
// in others within a second.
func (t *tokens) revoke(ctx context.Context, id string) (Token, error) {
	var r row
	err := t.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		r = row{}
		if err := tx.NewSelect().Model(&r).Where("id = ?", id).Scan(ctx); errors.Is(err, sql.ErrNoRows) {
			return fault.NotFound("token_not_found", "there is no token %.64s", id).
				WithHint("list them with: stega token list")
		} else if err != nil {
			return err
		}
		return end(ctx, tx, id, t.now())
	})
	t.cache.forget(id)
	if err == nil {
		t.watches.end(id, revoked(r.Name))
	}
	return r.token(), err
}

func end(ctx context.Context, tx *store.Tx, id string, at time.Time) error {
	_, err := tx.NewUpdate().Table("tokens").Set("revoked_at = ?", at.UnixMicro()).Where("id = ? AND revoked_at = 0",
		id).Exec(ctx)
	return err
}

// verify finds whose token a text is; a fault of kind unauthorized says why it is nobody's.
func (t *tokens) verify(ctx context.Context, text string) (Token, error) {
	hash, ok := hashOf(text)
	if !ok {
		return Token{}, unknownToken()
	}
	return t.valid(ctx, hash, t.load)
}

// valid is the token that a hash stands for, now.
func (t *tokens) valid(ctx context.Context, hash digest, load loader) (Token, error) {
	r, err := t.cache.get(ctx, hash, t.now, load)
	if err != nil {
		return Token{}, err
	}
	// The row was found by its hash, which tells nothing of the secret; the comparison is here so that no change of how
	// it is found can matter.
	if r == nil || subtle.ConstantTimeCompare(r.Hash, hash[:]) != 1 {
		return Token{}, unknownToken()
	}
	now := t.now()
	if err := r.check(now); err != nil {
		return r.token(), err
	}
	t.touch(hash, r, now)
	return r.token(), nil
}

// check returns why a token is worth nothing now.
func (r *row) check(now time.Time) error {
	switch expires := moment(r.ExpiresAt); {
	case r.RevokedAt != 0:
		return revoked(r.Name)
	case r.ExpiresAt != 0 && !now.Before(expires):
		return unauthorized("token_expired", "the token %q expired on %s", r.Name, expires.Format(time.DateOnly))
	}
	return nil
}

func revoked(name string) error {
	return unauthorized("token_revoked", "the token %q was revoked", name)
}

// loader reads the row of a hash; nil: there is none.
type loader func(context.Context, digest) (*row, error)

func (t *tokens) load(ctx context.Context, hash digest) (*row, error) {
	r := &row{}
	err := t.db.Read().NewSelect().Model(r).Where("hash = ?", hash[:]).Scan(ctx)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil
	case err != nil && store.Away(err):
		return nil, t.db.Unavailable(err)
	}
	return r, err
}

func unauthorized(code, format string, args ...any) *fault.Fault {
	return fault.New(fault.KindUnauthorized, code, format, args...).
		WithHint("make another on the server with: stega token create; " +
			"set STEGA_TOKEN to it, or send the header Authorization: Bearer …")
}

func unknownToken() error {
	return unauthorized("token_unknown", "the token is not one of this server")
}
