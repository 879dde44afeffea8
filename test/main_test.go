package test

import (
	"os"
	"testing"

	"stega/internal/servers"
	"stega/internal/stegatest"
)

func TestMain(m *testing.M) {
	defer stegatest.RemoveBinary()
	if err := os.Setenv("STEGA_DAEMON", "off"); err != nil { // programs of tests must leave no daemon behind
		panic(err)
	}
	servers.Main(m)
}
