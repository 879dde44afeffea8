//go:build !darwin

package cmd

import (
	"context"

	"stega/daemon"
)

// manager is systemd; where it does not run, its command fails, and the daemon is started by hand.
var manager = services{
	name:    "systemd",
	reload:  func(ctx context.Context) error { return systemctl(ctx, "daemon-reload") },
	enable:  func(ctx context.Context, _ string) error { return systemctl(ctx, "enable", "--now", daemon.UnitName) },
	disable: func(ctx context.Context) error { return systemctl(ctx, "disable", "--now", daemon.UnitName) },
	start:   func(ctx context.Context) error { return systemctl(ctx, "start", daemon.UnitName) },

	enableHint: "systemctl --user enable --now " + daemon.UnitName,
	statusHint: "systemctl --user status " + daemon.UnitName,
	lingerHint: "; to have it run without: loginctl enable-linger",
}

func systemctl(ctx context.Context, args ...string) error {
	return manage(ctx, "systemctl", append([]string{"--user"}, args...)...)
}
