package test

import (
	"os"
	"testing"

	"stega/internal/servers"
	"stega/internal/stegatest"
)

func TestMain(m *testing.M) {
	defer stegatest.RemoveBinary()
	if err := os.Setenv("STEGA_DAEMON", "off"); err != nil { // the programs that tests run are to leave nothing behind
		panic(err)
	}
	servers.Main(m)
}
