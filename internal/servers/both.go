package servers

import (
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// onPostgres holds the running tests whose service has its databases on PostgreSQL, by test name.
var onPostgres sync.Map

// moved is such a test, with the databases of its service by the URL that each replaces.
type moved struct {
	t       *testing.T
	service string

	mu  sync.Mutex
	url map[string]string
}

// OnPostgreSQL repeats tests, each as a subtest of its own name, with the databases of one service on PostgreSQL:
// Database returns one there in place of a file. Tests with stegatest need no change.
func OnPostgreSQL(t *testing.T, service string, tests ...func(*testing.T)) {
	for _, test := range tests {
		name := runtime.FuncForPC(reflect.ValueOf(test).Pointer()).Name()
		t.Run(name[strings.LastIndexByte(name, '.')+1:], func(t *testing.T) {
			administrator(t) // skips the test without a server
			onPostgres.Store(t.Name(), &moved{t: t, service: service, url: map[string]string{}})
			t.Cleanup(func() { onPostgres.Delete(t.Name()) })
			test(t)
		})
	}
}

// Database returns the URL of a service's database in a test: url, the URL of an SQLite file. In a test of
// OnPostgreSQL it returns the URL of a PostgreSQL database that replaces this file, the same for each call.
func Database(t testing.TB, service, url string) string {
	t.Helper()
	m := movedTest(t.Name())
	if m == nil || m.service != service {
		return url
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.url[url] == "" {
		m.url[url] = Postgres(m.t).URL()
	}
	return m.url[url]
}

// movedTest returns the test of OnPostgreSQL that contains a test, or nil.
func movedTest(name string) *moved {
	for name != "" {
		if m, ok := onPostgres.Load(name); ok {
			return m.(*moved)
		}
		name = name[:max(0, strings.LastIndexByte(name, '/'))]
	}
	return nil
}
