package access

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// recheckEvery is how often the tokens of requests and streams under way are read again, all in one query: what
	// another process revokes, and what expires, ends within a second.
	recheckEvery = 500 * time.Millisecond
	// recheckBatch bounds the hashes of one query.
	recheckBatch = 500
)

// credential is by what a caller came in: the hash of a token, or of a session.
type credential struct {
	hash    digest
	session bool
}

// watches are the requests and streams under way, by what they came in with.
type watches struct {
	mu sync.Mutex
	of map[credential]map[*watch]struct{}
}

// watch is one request or stream.
type watch struct {
	id    string // of the token
	ended func(error)
}

// add registers a watch; stop removes it. ended is called at most once, and not after stop has returned from before
// the end.
func (w *watches) add(by credential, id string, ended func(error)) (stop func()) {
	one := &watch{id, ended}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of == nil {
		w.of = map[credential]map[*watch]struct{}{}
	}
	if w.of[by] == nil {
		w.of[by] = map[*watch]struct{}{}
	}
	w.of[by][one] = struct{}{}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.remove(by, one)
	}
}

// remove forgets a watch. The lock is held.
func (w *watches) remove(by credential, one *watch) {
	delete(w.of[by], one)
	if len(w.of[by]) == 0 {
		delete(w.of, by)
	}
}

// end ends all that came in with a token or one of its sessions.
func (w *watches) end(id string, err error) {
	w.endIf(func(_ credential, one *watch) bool { return one.id == id }, err)
}

// endBy ends all that came in with one credential.
func (w *watches) endBy(by credential, err error) {
	w.endIf(func(other credential, _ *watch) bool { return other == by }, err)
}

func (w *watches) endIf(so func(credential, *watch) bool, err error) {
	w.mu.Lock()
	var over []*watch
	for by, all := range w.of {
		for one := range all {
			if so(by, one) {
				over = append(over, one)
				w.remove(by, one)
			}
		}
	}
	w.mu.Unlock()
	for _, one := range over {
		one.ended(err)
	}
}

// watched lists the credentials that are under way.
func (w *watches) watched() (tokens, sessions []digest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for by := range w.of {
		if by.session {
			sessions = append(sessions, by.hash)
		} else {
			tokens = append(tokens, by.hash)
		}
	}
	return tokens, sessions
}

// recheck ends what came in with tokens and sessions that are worth nothing any more. While the database is away
// nothing is ended: nothing can have been revoked.
func (t *tokens) recheck(ctx context.Context) {
	tokens, sessions := t.watches.watched()
	t.recheckOf(ctx, tokens, false, t.loadAll)
	t.recheckOf(ctx, sessions, true, t.loadSessions)
}

func (t *tokens) recheckOf(
	ctx context.Context, hashes []digest, session bool, load func(context.Context, []digest) (map[digest]*row, error),
) {
	for some := range slices.Chunk(hashes, recheckBatch) {
		bounded, cancel := context.WithTimeout(ctx, lookup)
		rows, err := load(bounded, some)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				t.log.Warn("tokens of requests under way are not checked at present", "error", err)
			}
			return
		}
		for _, hash := range some {
			err := unknownToken()
			if r := rows[hash]; r != nil {
				err = r.check(t.now())
			}
			if err != nil {
				t.watches.endBy(credential{hash, session}, err)
			}
		}
	}
}

// loadAll reads the rows of tokens.
func (t *tokens) loadAll(ctx context.Context, hashes []digest) (map[digest]*row, error) {
	var rows []row
	if err := t.db.Read().NewSelect().Model(&rows).Where("hash IN (?)", in(hashes)).Scan(ctx); err != nil {
		return nil, err
	}
	return byHash(rows), nil
}

func byHash(rows []row) map[digest]*row {
	all := make(map[digest]*row, len(rows))
	for i := range rows {
		all[digest(rows[i].Hash)] = &rows[i]
	}
	return all
}
