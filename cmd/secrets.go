package cmd

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stega/fault"
	"stega/process"
)

func newSecrets() *cobra.Command {
	var m secretsMaker
	c := &cobra.Command{
		Use:   "secrets",
		Short: "Generate the secrets of a composed installation",
		Long: `Generates a password for each user of the broker and of the databases, and the secret that the processes
share. DIR/secrets.json keeps them: each later run writes the same ones. These files follow from it:

  SERVICE/broker-url, database-url, service-token   for the service's processes
  migrate/broker-url, database-url                  for stega migrate
  rabbitmq/definitions.json                         for RabbitMQ to load
  postgres/password, passwords.sql                  for PostgreSQL

STEGA_BROKER_URL_FILE and the like name these files to the processes. Each folder can be a volume of its own, so that
a container reads its own secrets only.`,
		Example: `  stega secrets --dir /secrets --definitions rabbitmq-definitions.json
  stega secrets --dir /secrets --definitions rabbitmq-definitions.json --rotate`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if m.dir == "" || m.definitions == "" {
				return fault.Usage("folder_missing", "--dir or --definitions is missing").
					WithHint("see: stega secrets --help")
			}
			made, err := m.make()
			if err != nil {
				return err
			}
			return writef(c.ErrOrStderr(), "The secrets in %s are %s.\n", m.dir, made)
		},
	}
	f := c.Flags()
	f.StringVar(&m.dir, "dir", "", "folder to write to")
	f.StringVar(&m.definitions, "definitions", "", "definitions of RabbitMQ; their users get passwords")
	f.StringVar(&m.broker, "broker-url", "amqp://rabbitmq:5672/", "broker without user and password")
	f.StringVar(
		&m.database,
		"database-url",
		"postgres://postgres:5432/{service}?sslmode=disable",
		"URL of the databases, without user and password",
	)
	f.Lookup("database-url").DefValue = "that of compose.yaml"
	f.StringVar(&m.admin, "admin", "stega", "user that prepares broker and databases")
	f.IntVar(&m.owner, "owner", -1, "user id of the services, to own their files")
	f.BoolVar(&m.rotate, "rotate", false, "replace the secrets that are kept")
	f.Lookup("owner").DefValue = "0"
	return c
}

// secretsMaker writes the secrets of an installation.
type secretsMaker struct {
	dir, definitions, broker, database, admin string
	owner                                     int
	rotate                                    bool
}

// secrets is the content of the file from which all others are written.
type secrets struct {
	Service string            `json:"service"` // shown by processes to each other
	Users   map[string]string `json:"users"`   // passwords by name, of broker and databases
}

// make writes all files. secrets.json is written first and the others follow from it, so a run that was cut off is
// completed by the next.
func (m *secretsMaker) make() (done string, err error) {
	cannot := func(err error) error {
		return fault.Unavailable("secrets_unwritable", "the secrets cannot be written to %s", m.dir).
			WithHint("check that the folder exists and may be written, and that there is room").Because(err)
	}
	definitions, users, err := m.readDefinitions()
	if err != nil {
		return "", err
	}
	file := filepath.Join(m.dir, "secrets.json")
	kept, err := readSecrets(file)
	if err != nil {
		return "", err
	}
	done = "as they were"
	switch {
	case m.rotate:
		kept, done = secrets{}, "new"
	case kept.Service == "":
		done = "new"
	}
	changed := false
	if kept.Service == "" {
		kept.Service, changed = newPassword(), true
	}
	if kept.Users == nil {
		kept.Users = map[string]string{}
	}
	for _, name := range users {
		if kept.Users[name] == "" {
			kept.Users[name], changed = newPassword(), true
		}
	}
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return "", cannot(err)
	}
	if changed {
		content, err := json.MarshalIndent(kept, "", "  ")
		if err != nil {
			return "", err
		}
		if err := writeFile(file, content, 0o600, -1); err != nil {
			return "", cannot(err)
		}
	}
	if err := m.write(kept, definitions); err != nil {
		return "", cannot(err)
	}
	return done, nil
}

// write writes the files of each reader.
func (m *secretsMaker) write(s secrets, definitions map[string]any) error {
	const private, shared = 0o400, 0o444 // RabbitMQ and PostgreSQL run as users whose ids differ from image to image
	of := func(url, user string) string { return strings.Replace(url, "://", "://"+user+":"+s.Users[user]+"@", 1) }
	for _, name := range process.Names() {
		dir := filepath.Join(m.dir, name)
		err := folder(dir)
		for file, content := range map[string]string{
			"broker-url": of(m.broker, name), "database-url": of(m.database, name), "service-token": s.Service,
		} {
			err = errors.Join(err, writeFile(filepath.Join(dir, file), []byte(content+"\n"), private, m.owner))
		}
		if err != nil {
			return err
		}
	}
	var sql strings.Builder
	for _, name := range append([]string{m.admin}, process.Names()...) {
		_, _ = fmt.Fprintf(&sql, "ALTER ROLE %s PASSWORD '%s';\n", name, s.Users[name])
	}
	for _, one := range definitions["users"].([]any) {
		user := one.(map[string]any)
		user["password"] = s.Users[user["name"].(string)]
	}
	loaded, err := json.MarshalIndent(definitions, "", "  ")
	return errors.Join(err,
		folder(filepath.Join(m.dir, "migrate")),
		writeFile(filepath.Join(m.dir, "migrate", "broker-url"), []byte(of(m.broker, m.admin)+"\n"), private, m.owner),
		writeFile(filepath.Join(m.dir, "migrate", "database-url"), []byte(of(m.database, m.admin)+"\n"), private,
			m.owner),
		folder(filepath.Join(m.dir, "rabbitmq")),
		writeFile(filepath.Join(m.dir, "rabbitmq", "definitions.json"), append(loaded, '\n'), shared, -1),
		folder(filepath.Join(m.dir, "postgres")),
		writeFile(filepath.Join(m.dir, "postgres", "password"), []byte(s.Users[m.admin]+"\n"), shared, -1),
		writeFile(filepath.Join(m.dir, "postgres", "passwords.sql"), []byte(sql.String()), shared, -1))
}

// folder makes a folder that its reader may enter, whoever that is; the files in it decide who reads them.
func folder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // only its container reads the volume
		return err
	}
	return os.Chmod(dir, 0o755) //nolint:gosec // whatever the umask is
}

// readDefinitions returns RabbitMQ's definitions and the names of all who get a password.
func (m *secretsMaker) readDefinitions() (definitions map[string]any, names []string, err error) {
	invalid := func(err error) error {
		return fault.Usage("definitions_invalid",
			"%q has no definitions of RabbitMQ with a user for %s and each service", m.definitions, m.admin).
			WithHint("deploy/rabbitmq-definitions.json of the distribution has them").
			Because(err)
	}
	content, err := os.ReadFile(m.definitions)
	if err != nil {
		return nil, nil, invalid(err)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	if err := d.Decode(&definitions); err != nil {
		return nil, nil, invalid(err)
	}
	users, _ := definitions["users"].([]any)
	for _, one := range users {
		user, _ := one.(map[string]any)
		name, _ := user["name"].(string)
		if name == "" {
			return nil, nil, invalid(errors.New("a user without a name"))
		}
		names = append(names, name)
	}
	for _, name := range append(process.Names(), m.admin) {
		if !slices.Contains(names, name) {
			return nil, nil, invalid(fmt.Errorf("no user %q", name))
		}
	}
	return definitions, names, nil
}

func readSecrets(file string) (s secrets, err error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return secrets{}, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err != nil {
		return secrets{}, fault.Unavailable("secrets_unreadable", "the secrets in %s cannot be read", file).
			WithHint("check whose file it is; --rotate replaces them").Because(err)
	}
	return s, nil
}

// newPassword returns 32 random bytes in hexadecimal, which no URL and no SQL has to quote.
func newPassword() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// writeFile replaces a file as a whole, so that readers never find half of it.
func writeFile(path string, content []byte, mode os.FileMode, owner int) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }() // it has another name by then
	_, err = temp.Write(content)
	if err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if owner >= 0 {
		if err := os.Chown(temp.Name(), owner, owner); err != nil {
			return err
		}
	}
	return os.Rename(temp.Name(), path)
}
