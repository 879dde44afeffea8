package access

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"stega/fault"
	"stega/store"
)

// KeepLocal sees to it that a file has a token of scope admin, by which programs of the same user find their way in:
// it makes one at the first start, and keeps it. Who removes the file, or revokes the token, gets another one at the
// next start.
func (a *Access) KeepLocal(ctx context.Context, file string) error {
	text, err := readSecret(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return a.newLocal(ctx, file)
	case err != nil:
		return err
	}
	hash, ok := hashOf(text)
	if !ok {
		return fault.Unavailable("token_file_invalid", "the file %s has no token", file).
			WithHint("remove it, and start again: another one is made")
	}
	a.provesWith(text)
	known, err := a.tokens.load(ctx, hash)
	if err != nil {
		return err
	}
	if known == nil { // the database is another one than the file was made with
		return a.tokens.replaceLocal(ctx, hash)
	}
	if known.RevokedAt != 0 {
		return a.newLocal(ctx, file)
	}
	return nil
}

// newLocal makes a token. It is known to the database before it is in the file: nobody finds one that does not work.
func (a *Access) newLocal(ctx context.Context, file string) error {
	token, hash := newSecret()
	if err := a.tokens.replaceLocal(ctx, hash); err != nil {
		return err
	}
	a.provesWith(token)
	if err := writeSecret(file, token); err != nil {
		return fault.Unavailable("token_file_unwritable", "the token of this machine cannot be written to %s", file).
			WithHint("check that the folder may be written and that there is room").Because(err)
	}
	return nil
}

// provesWith makes a text the one that POST /v1/proof proves knowledge of.
func (a *Access) provesWith(text string) {
	key := sha256.Sum256([]byte(text))
	a.proof = &key
}

func (t *tokens) replaceLocal(ctx context.Context, hash digest) error {
	var before row
	err := t.db.Do(ctx, func(ctx context.Context, tx *store.Tx) error {
		before = row{}
		err := tx.NewSelect().Model(&before).Where("name = ? AND revoked_at = 0", local).Scan(ctx)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err == nil {
			if err := end(ctx, tx, before.ID, t.now()); err != nil {
				return err
			}
		}
		return insert(ctx, tx, t.row(local, Admin, hash))
	})
	t.cache.forget(before.ID)
	if err == nil && before.ID != "" {
		t.watches.end(before.ID, revoked(local))
	}
	return err
}

// readSecret reads a file that only its owner may read; it takes the rights of others away.
func readSecret(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		return "", fault.Unavailable("token_file_unreadable", "the file %s cannot be read",
			file).WithHint("check whose it is").Because(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return "", fault.Unavailable("token_file_open", "others may read the file %s, and that cannot be changed",
			file).
			WithHint("run: chmod 600 %s", file).Because(err)
	}
	b, err := io.ReadAll(io.LimitReader(f, 1024))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	return strings.TrimSpace(string(b)), nil
}

// writeSecret writes a file whole or not at all.
func writeSecret(file, text string) error {
	temp, err := os.CreateTemp(filepath.Dir(file), ".token-*") // for its owner alone
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // in vain once it has its name
	_, err = temp.WriteString(text + "\n")
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), file)
}

// FirstLink makes a one-time link for the holder of the token file, as its code.
func (a *Access) FirstLink(ctx context.Context) (code string, err error) {
	var r row
	if err := a.tokens.db.Read().NewSelect().Model(&r).Where("name = ? AND revoked_at = 0", local).
		Scan(ctx); err != nil {
		return "", err
	}
	code, _, err = a.tokens.newLink(ctx, r.ID, r.Scope)
	return code, err
}
