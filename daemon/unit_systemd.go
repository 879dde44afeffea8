//go:build !darwin

package daemon

import (
	"os"
	"path/filepath"
	"strings"

	"stega/fault"
)

// UnitName is the name of the systemd user unit.
const UnitName = "stega.service"

// UnitPath is where the unit belongs.
func UnitPath(getenv func(string) string) (string, error) {
	config := getenv("XDG_CONFIG_HOME")
	if config == "" {
		home := getenv("HOME")
		if home == "" {
			return "", fault.Usage("home_unknown", "neither HOME nor XDG_CONFIG_HOME is set").WithHint("set HOME")
		}
		config = filepath.Join(home, ".config")
	}
	return filepath.Join(config, "systemd", "user", UnitName), nil
}

// Unit is the text of the unit. It hardens as far as the manager of a user can: what needs namespaces of its own
// would keep the daemon from starting where users may not make them. Nothing is started again that another instance,
// or wrong settings, keep from running.
func Unit(program string) string {
	return strings.ReplaceAll(`[Unit]
Description=stega daemon: cache and queue between the command line and its servers
After=network-online.target

[Service]
Type=notify
ExecStart=PROGRAM daemon run
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=64 73 77
TimeoutStopSec=20
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
MemoryHigh=256M

[Install]
WantedBy=default.target
`, "PROGRAM", quoted(program))
}

// quoted writes a path as systemd reads it.
func quoted(path string) string {
	path = strings.NewReplacer(`%`, `%%`, `$`, `$$`).Replace(path)
	if strings.ContainsAny(path, " \t'\"\\") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
	}
	return path
}

// InstallUnit writes the unit for a program, and says where.
func InstallUnit(getenv func(string) string, program string) (string, error) {
	path, err := UnitPath(getenv)
	if err != nil {
		return "", err
	}
	err = os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // systemd's folder, with nothing secret in it
	if err == nil {
		err = os.WriteFile(path, []byte(Unit(program)), 0o644) //nolint:gosec // as above
	}
	if err != nil {
		return "", fault.Unavailable("unit_unwritable", "the unit %s cannot be written", path).
			WithHint("check that the folder may be written").
			Because(err)
	}
	return path, nil
}
