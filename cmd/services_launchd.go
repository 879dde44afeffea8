//go:build darwin

package cmd

import (
	"context"
	"os"
	"strconv"

	"stega/daemon"
)

// domain is where launchd keeps the agents of this user.
func domain() string { return "gui/" + strconv.Itoa(os.Getuid()) }

// manager is launchd.
var manager = services{
	name:   "launchd",
	reload: func(context.Context) error { return nil },
	enable: func(ctx context.Context, unit string) error {
		return manage(ctx, "launchctl", "bootstrap", domain(), unit)
	},
	disable: func(ctx context.Context) error {
		return manage(ctx, "launchctl", "bootout", domain()+"/"+daemon.UnitName)
	},
	start: func(ctx context.Context) error {
		return manage(ctx, "launchctl", "kickstart", domain()+"/"+daemon.UnitName)
	},

	enableHint: "launchctl bootstrap gui/$UID ~/Library/LaunchAgents/" + daemon.UnitName + ".plist",
	statusHint: "launchctl print gui/$UID/" + daemon.UnitName,
}
