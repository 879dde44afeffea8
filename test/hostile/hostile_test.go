package main

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stega/internal/stegatest"
	"stega/internal/wait"
)

func TestMain(m *testing.M) {
	status := m.Run()
	stegatest.RemoveBinary()
	os.Exit(status)
}

// A server with little memory and few descriptors answers other clients during an attack.
func TestAServerWithstandsAHostileClient(t *testing.T) {
	t.Parallel()
	stega := stegatest.Binary(t)
	if _, err := exec.LookPath("prlimit"); err != nil {
		require.Empty(t, os.Getenv("CI"), "install util-linux, which has prlimit")
		wait.Skip(t, "prlimit of util-linux is not installed")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	script := exec.CommandContext(ctx, "../hostile.sh", "15s")
	script.Env = append(os.Environ(), "STEGA="+stega)
	script.Cancel = func() error { return script.Process.Signal(os.Interrupt) }
	script.WaitDelay = 30 * time.Second
	out, err := script.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
}
