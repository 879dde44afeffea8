// Package migrations holds the tables of each service, one folder for each service, in SQL that PostgreSQL and SQLite
// both take: times are BIGINT microseconds since 1970, blobs are BYTEA. The folders sqlite and postgres in it hold what
// is for one of them only.
package migrations

import (
	"embed"
	"io/fs"
)

//go:embed */*.sql */*/*.sql
var files embed.FS

// Of is the folder of a service.
func Of(service string) (fs.FS, error) { return fs.Sub(files, service) }
