//go:build darwin

package daemon

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"

	"stega/fault"
)

// UnitName is the label of the launchd agent.
const UnitName = "stega.daemon"

// UnitPath is where the agent belongs.
func UnitPath(getenv func(string) string) (string, error) {
	home := getenv("HOME")
	if home == "" {
		return "", fault.Usage("home_unknown", "HOME is not set").WithHint("set HOME")
	}
	return filepath.Join(home, "Library", "LaunchAgents", UnitName+".plist"), nil
}

// Unit is the text of the agent. It is started at login, and again when it failed.
func Unit(program string) string {
	var path strings.Builder
	_ = xml.EscapeText(&path, []byte(program)) // a strings.Builder takes everything
	return strings.ReplaceAll(`<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key><string>stega.daemon</string>
	<key>ProgramArguments</key><array><string>PROGRAM</string><string>daemon</string><string>run</string></array>
	<key>RunAtLoad</key><true/>
	<key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
	<key>ProcessType</key><string>Background</string>
	<key>Umask</key><integer>63</integer>
</dict>
</plist>
`, "PROGRAM", path.String())
}

// InstallUnit writes the agent for a program, and says where.
func InstallUnit(getenv func(string) string, program string) (string, error) {
	path, err := UnitPath(getenv)
	if err != nil {
		return "", err
	}
	err = os.MkdirAll(filepath.Dir(path), 0o755) //nolint:gosec // launchd's folder, with nothing secret in it
	if err == nil {
		err = os.WriteFile(path, []byte(Unit(program)), 0o644) //nolint:gosec // as above
	}
	if err != nil {
		return "", fault.Unavailable("unit_unwritable", "the agent %s cannot be written", path).
			WithHint("check that the folder may be written").
			Because(err)
	}
	return path, nil
}
