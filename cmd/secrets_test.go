package cmd

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stega/process"
)

// stegaSecrets runs "stega secrets" on a folder.
func stegaSecrets(t *testing.T, dir string, args ...string) (status int, words string) {
	t.Helper()
	root, errs := newRoot(), &bytes.Buffer{}
	root.SetOut(&bytes.Buffer{})
	root.SetErr(errs)
	root.SetArgs(
		append([]string{"secrets", "--dir", dir, "--definitions", "../deploy/rabbitmq-definitions.json"}, args...),
	)
	return execute(t.Context(), root), errs.String()
}

// content returns the files below a folder, and checks that each is private unless a server of another user reads it.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		text, err := os.ReadFile(path)
		files[name] = string(text)
		info, _ := d.Info()
		if first, _, _ := strings.Cut(name, "/"); first != "rabbitmq" && first != "postgres" {
			assert.Zero(t, info.Mode().Perm()&0o077, name)
		}
		return err
	}))
	return files
}

func TestSecretsAreMadeOnceAndAreAllDifferent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	status, words := stegaSecrets(t, dir)
	require.Zero(t, status, words)
	first := content(t, dir)
	require.Len(t, first, 1+3*len(process.Names())+5)

	var kept secrets
	require.NoError(t, json.Unmarshal([]byte(first["secrets.json"]), &kept))
	seen := map[string]bool{kept.Service: true}
	for _, password := range kept.Users {
		assert.False(t, seen[password], "two have the same")
		assert.Len(t, password, 64)
		seen[password] = true
	}
	for _, name := range process.Names() {
		own := kept.Users[name]
		assert.Equal(t, "amqp://"+name+":"+own+"@rabbitmq:5672/\n", first[name+"/broker-url"])
		assert.Equal(t, "postgres://"+name+":"+own+"@postgres:5432/{service}?sslmode=disable\n",
			first[name+"/database-url"])
		assert.Equal(t, kept.Service+"\n", first[name+"/service-token"])
		assert.Contains(t, first["postgres/passwords.sql"], "ALTER ROLE "+name+" PASSWORD '"+own+"';")
		for file, text := range first {
			if folder, _, _ := strings.Cut(file, "/"); folder != name && folder != "rabbitmq" && folder != "postgres" &&
				file != "secrets.json" {
				assert.NotContains(t, text, own, "%s has the password of %s", file, name)
			}
		}
	}
	var definitions struct {
		Users       []struct{ Name, Password string }
		Permissions []any
	}
	require.NoError(t, json.Unmarshal([]byte(first["rabbitmq/definitions.json"]), &definitions))
	assert.Len(t, definitions.Users, 1+len(process.Names()))
	assert.NotEmpty(t, definitions.Permissions)
	for _, user := range definitions.Users {
		assert.Equal(t, kept.Users[user.Name], user.Password)
	}

	require.NoError(t, os.RemoveAll(filepath.Join(dir, "returns"))) // as if it had been cut off before
	status, words = stegaSecrets(t, dir)
	require.Zero(t, status, words)
	assert.Equal(t, first, content(t, dir), "the second run wrote others")

	status, words = stegaSecrets(t, dir, "--rotate")
	require.Zero(t, status, words)
	for name, text := range content(t, dir) {
		assert.NotEqual(t, first[name], text, name)
	}
}

func TestSecretsAreNotReplacedByAccident(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secrets.json"), []byte(`{"service":`), 0o600))
	status, words := stegaSecrets(t, dir)
	assert.Equal(t, 69, status)
	assert.Contains(t, words, "cannot be read")
	broken := filepath.Join(dir, "broken.json")
	require.NoError(t, os.WriteFile(broken, []byte(`{"users":[{"name":"stega"}]}`), 0o600))
	status, words = stegaSecrets(t, t.TempDir(), "--definitions", broken)
	assert.Equal(t, 64, status)
	assert.Contains(t, words, `no user "boundary"`)
}

// What a variable may say, the file that the variable with _FILE names may say.
func TestASecretMayBeInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("from the file\n"), 0o600))
	t.Setenv("STEGA_SERVICE_TOKEN_FILE", file)
	got, err := secret("STEGA_SERVICE_TOKEN")
	require.NoError(t, err)
	assert.Equal(t, "from the file", got)

	t.Setenv("STEGA_SERVICE_TOKEN", "x")
	_, err = secret("STEGA_SERVICE_TOKEN")
	assert.ErrorContains(t, err, "both set")
	t.Setenv("STEGA_SERVICE_TOKEN", "")
	require.NoError(t, os.WriteFile(file, []byte("\n"), 0o600))
	_, err = secret("STEGA_SERVICE_TOKEN")
	assert.ErrorContains(t, err, "is empty")
	t.Setenv("STEGA_SERVICE_TOKEN_FILE", t.TempDir())
	_, err = secret("STEGA_SERVICE_TOKEN")
	assert.ErrorContains(t, err, "not a small regular file")
	t.Setenv("STEGA_SERVICE_TOKEN_FILE", file+"x")
	_, err = secret("STEGA_SERVICE_TOKEN")
	assert.ErrorContains(t, err, "cannot be read")
}
