package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/daemon"
	"stega/fault"
	"stega/internal/files"
)

func newDaemon(g *globals) *cobra.Command {
	c := group(&cobra.Command{
		Use: "daemon", Short: "Manage the daemon, which queues writes",
		Long: `The daemon runs for you alone. It passes reads through to the server, and queues writes on disk while the
server is away. It sends them in order when the server returns. Reads are then answered from before, marked with their
age, unless something newer was announced. Commands start the daemon when they need it. It listens on a socket that
only you can open: $STEGA_SOCKET, else in $XDG_RUNTIME_DIR/stega, else in the state folder.`,
		Example: "  stega daemon status\n  stega daemon install     # start it at login\n  stega daemon logs --follow",
	})
	c.AddCommand(
		newDaemonRun(g), newDaemonInstall(), newDaemonUninstall(), newDaemonStart(), newDaemonStop(),
		newDaemonRestart(),
		newDaemonStatus(g), newDaemonLogs(),
	)
	return c
}

func newDaemonRun(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the daemon in the foreground", Args: cobra.NoArgs, Example: "  stega daemon run",
		RunE: func(c *cobra.Command, _ []string) error {
			err := runDaemon(c.Context(), g, c.ErrOrStderr())
			if err != nil {
				daemon.Ready(os.Getenv, err)
			}
			return err
		},
	}
}

func runDaemon(ctx context.Context, g *globals, stderr io.Writer) error {
	files.OwnByDefault()
	paths, err := daemon.Locate(os.Getenv)
	if err != nil {
		return err
	}
	inherited, err := daemon.Inherit(os.Getenv)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(paths.State, 0o700); err != nil {
		return fault.Unavailable("folder_unusable", "the folder %s cannot be used", paths.State).
			WithHint("check that it may be written").
			Because(err)
	}
	log := io.Discard
	if file, err := daemon.OpenLog(paths.Log()); err == nil {
		defer func() { _ = file.Close() }()
		log = file
	}
	foreground, ok := stderr.(*os.File)
	if ok = ok && !sameFile(foreground, paths.Log()); ok {
		log = io.MultiWriter(log, stderr)
	}
	return daemon.Run(ctx, daemon.Options{
		Paths: paths, Build: thisBuild(), Servers: settings{}, Local: settings{}.Local, Inherited: inherited,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: g.level})),
	}, func(socket string) {
		daemon.Ready(os.Getenv, nil)
		if ok {
			printf(stderr, "the daemon is ready at %s\n", socket)
		}
	})
}

// sameFile reports whether an open file is the one at a path.
func sameFile(file *os.File, path string) bool {
	a, err := file.Stat()
	b, other := os.Stat(path)
	return err == nil && other == nil && os.SameFile(a, b)
}

func newDaemonInstall() *cobra.Command {
	return &cobra.Command{
		Use: "install", Short: "Start the daemon at login", Args: cobra.NoArgs, Example: "  stega daemon install",
		RunE: func(c *cobra.Command, _ []string) error {
			program, err := os.Executable()
			if err != nil {
				return err
			}
			path, err := daemon.InstallUnit(os.Getenv, program)
			if err != nil {
				return err
			}
			say(c, "wrote %s", path)
			if manager.reload(c.Context()) != nil {
				say(
					c, "%s does not run for you here, so start it yourself: stega daemon start\nat a login with %s: %s",
					manager.name,
					manager.name, manager.enableHint,
				)
				return nil //nolint:nilerr // it was told, and the unit is there
			}
			if old, err := dialDaemon(c.Context(), "", false); err == nil { // systemd's takes its place
				if err := stopDaemon(c.Context(), old); err != nil {
					return err
				}
			}
			if err := manager.enable(c.Context(), path); err != nil {
				return fault.Unavailable("unit_not_started", "%s could not start the daemon", manager.name).
					WithHint("see: %s", manager.statusHint).
					Because(err)
			}
			say(c, "the daemon is running, and will start at each login%s", manager.lingerHint)
			return nil
		},
	}
}

func newDaemonUninstall() *cobra.Command {
	return &cobra.Command{
		Use:     "uninstall",
		Short:   "Undo install; queued writes stay",
		Args:    cobra.NoArgs,
		Example: "  stega daemon uninstall",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := daemon.UnitPath(os.Getenv)
			if err != nil {
				return err
			}
			_ = manager.disable(c.Context()) // without the manager there is nothing to disable
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fault.Unavailable("unit_unwritable", "the unit %s cannot be removed", path).Because(err)
			}
			_ = manager.reload(c.Context())
			say(c, "removed %s", path)
			return nil
		},
	}
}

// services is the manager of a user's services, which starts the daemon at login.
type services struct {
	name                               string
	reload                             func(context.Context) error // fails where the manager does not run
	enable                             func(ctx context.Context, unit string) error
	disable, start                     func(context.Context) error
	enableHint, statusHint, lingerHint string
}

// manage runs a command of the manager.
func manage(ctx context.Context, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput() //nolint:gosec // the arguments are ours
	if err != nil {
		return fmt.Errorf("%s: %w", strings.TrimSpace(string(out)), err)
	}
	return nil
}

func say(c *cobra.Command, format string, args ...any) {
	printf(c.ErrOrStderr(), format+"\n", args...)
}

func newDaemonStart() *cobra.Command {
	return &cobra.Command{
		Use: "start", Short: "Start the daemon in the background", Args: cobra.NoArgs, Example: "  stega daemon start",
		RunE: func(c *cobra.Command, _ []string) error {
			if d, err := dialDaemon(c.Context(), "", false); err == nil {
				say(c, "the daemon runs already, process %d at %s", d.PID, d.Socket)
				return nil
			}
			return startDaemon(c)
		},
	}
}

// startDaemon starts the daemon: by systemd when it is installed there, else by itself.
func startDaemon(c *cobra.Command) error {
	unit, err := daemon.UnitPath(os.Getenv)
	if err != nil {
		return err
	}
	if _, err := os.Stat(unit); err == nil && manager.start(c.Context()) == nil {
		say(c, "%s started the daemon", manager.name)
		return nil
	}
	d, err := dialDaemon(c.Context(), "", true)
	if err != nil {
		return err
	}
	say(c, "the daemon runs, process %d at %s", d.PID, d.Socket)
	return nil
}

func newDaemonStop() *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "End the daemon; what is queued stays on disk", Args: cobra.NoArgs,
		Example: "  stega daemon stop",
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := dialDaemon(c.Context(), "", false)
			if err != nil {
				return err
			}
			if err := stopDaemon(c.Context(), d); err != nil {
				return err
			}
			say(c, "the daemon, process %d, has ended", d.PID)
			return nil
		},
	}
}

// stopDaemon stops a daemon and waits until it has ended.
func stopDaemon(ctx context.Context, d *daemon.Connection) error {
	paths, err := daemon.Locate(os.Getenv)
	if err != nil {
		return err
	}
	return d.Stop(ctx, paths)
}

func newDaemonRestart() *cobra.Command {
	return &cobra.Command{
		Use: "restart", Short: "Restart the daemon with this program; queued writes stay", Args: cobra.NoArgs,
		Example: "  stega daemon restart",
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := dialDaemon(c.Context(), "", false)
			if err == nil {
				if err := stopDaemon(c.Context(), d); err != nil {
					return err
				}
			}
			return startDaemon(c)
		},
	}
}

func newDaemonStatus(g *globals) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show daemon status", Args: cobra.NoArgs, Example: "  stega daemon status -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := dialDaemon(c.Context(), "", false)
			if err != nil {
				return err
			}
			var s daemon.Status
			if err := d.Ask(c.Context(), "GET", "/daemon/status", &s); err != nil {
				return err
			}
			if done, err := g.print(c.OutOrStdout(), s); done {
				return err
			}
			return statusTable(c.OutOrStdout(), s)
		},
	}
}

func statusTable(out io.Writer, s daemon.Status) error {
	printf(
		out, "process %d, version %s, since %s, at %s\n", s.PID, s.Version, s.Started.Local().Format(time.DateTime),
		s.Socket,
	)
	if len(s.Servers) == 0 {
		return nil
	}
	t := table{head: []string{"SERVER", "CONNECTION", "QUEUED", "FAILED", "CACHED", "BYTES"}}
	for _, one := range s.Servers {
		t.add(
			one.URL, one.Link.State, strconv.Itoa(one.Queue.Queued+one.Queue.Sending+one.Queue.Accepted),
			strconv.Itoa(one.Queue.Failed), strconv.Itoa(one.Cache.Answers), strconv.FormatInt(one.Cache.Bytes, 10),
		)
	}
	return t.write(out)
}

func newDaemonLogs() *cobra.Command {
	var follow bool
	var lines int
	c := &cobra.Command{
		Use: "logs", Short: "Show the log of the daemon", Args: cobra.NoArgs,
		Example: "  stega daemon logs --lines 100 --follow",
		RunE: func(c *cobra.Command, _ []string) error {
			paths, err := daemon.Locate(os.Getenv)
			if err != nil {
				return err
			}
			return tailLog(c.Context(), c.OutOrStdout(), paths.Log(), lines, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "keep printing new lines")
	c.Flags().IntVarP(&lines, "lines", "n", 50, "number of lines from the end")
	return c
}

// tailLog writes the last lines of a log, and then what comes; a log that is rotated goes on with the new file.
func tailLog(ctx context.Context, out io.Writer, path string, lines int, follow bool) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return fault.NotFound("daemon_log_missing", "there is no log %s", filepath.Clean(path)).
			WithHint("no daemon has run yet: stega daemon start")
	}
	if err != nil {
		return err
	}
	all := strings.SplitAfter(strings.TrimSuffix(string(b), "\n"), "\n")
	if err := writeLines(out, []byte(strings.Join(all[max(0, len(all)-max(lines, 0)):], "")+"\n")); err != nil {
		return err
	}
	at := int64(len(b))
	for follow {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() == at {
			continue
		}
		if info.Size() < at {
			at = 0
		}
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.NewSectionReader(file, at, info.Size()-at))
		_ = file.Close()
		at += int64(len(b))
		if err := errors.Join(err, writeLines(out, b)); err != nil {
			return err
		}
	}
	return nil
}
