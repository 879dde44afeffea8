package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stega/broker"
	"stega/fault"
	"stega/internal/files"
	"stega/process"
)

func newUp(g *globals) *cobra.Command {
	var at listening
	var data, folder string
	var demo demo
	var remote bool
	c := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine",
		Long: `Runs every service in one process, with its databases and its broker in a data folder: nothing else is
needed. Ctrl-C ends it in order; what was accepted is not lost however it ends.`,
		Example: `  stega up
  stega up --data ./here --addr 127.0.0.1:9000
  stega up --demo          # with a synthetic market
  stega up --demo --live   # which goes on, a day every few seconds`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx := c.Context()
			files.OwnByDefault()
			demo.on = demo.on || demo.live
			if err := at.check(c.ErrOrStderr()); err != nil {
				return err
			}
			var config process.Config
			if err := at.access(&config); err != nil {
				return err
			}
			unlock, err := lockFolder(data)
			if err != nil {
				return err
			}
			defer unlock()
			opts, err := options(folder)
			if err != nil {
				return err
			}
			stop, err := traced(ctx, "stega")
			if err != nil {
				return err
			}
			defer stop()
			limitMemory()
			log := g.logger(c.ErrOrStderr())
			ctx, end := context.WithCancel(ctx)
			defer end()
			var failed error
			config.Services, config.Roles, config.Addr, config.TLS = process.Names(), []process.Role{
				process.API,
				process.Consumer,
			}, at.addr, at.tls
			config.Migrate, config.Options, config.Log, config.TokenFile = true, opts, log, filepath.Join(data, "token")
			config.Database = func(service string) string { return "sqlite://" + filepath.Join(data, service+".db") }
			config.Broker = func(ctx context.Context) (broker.Broker, error) {
				return openBroker(ctx, "embedded://"+filepath.Join(data, "broker"), "stega", log)
			}
			var code string
			config.SignIn = func(once string) { code = once }
			err = process.Run(ctx, config, func(addr string) {
				printf(c.ErrOrStderr(), "stega is ready on %s, its data are in %s\n", at.url(addr), data)
				if code != "" {
					printf(
						c.ErrOrStderr(), "sign in with a browser, once and within 5 minutes: %s/login?code=%s\n",
						at.url(addr), code,
					)
				}
				if demo.on {
					go func() {
						token, err := os.ReadFile(filepath.Join(data, "token"))
						if err != nil {
							failed = err
							end()
							return
						}
						here := place{URL: at.url(addr), Token: strings.TrimSpace(string(token))}
						if failed = demo.run(ctx, c.ErrOrStderr(), here); failed != nil {
							end()
						}
					}()
				}
			})
			if failed == nil && c.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // it was stopped before it was ready
			}
			return errors.Join(failed, err)
		},
	}
	f := c.Flags()
	at.flags(c)
	f.StringVar(&data, "data", dataFolder(), "data folder")
	f.StringVar(&folder, "prices-folder", "", "folder of CSV files to pull prices from (default STEGA_PRICES_FOLDER)")
	f.BoolVar(&demo.on, "demo", false, "load a synthetic market with portfolios and an optimization")
	f.BoolVar(&demo.live, "live", false, "with --demo: add a day of prices every few seconds")
	f.Uint64Var(&demo.seed, "seed", 1, "seed of the synthetic market")
	// Kept so that scripts which pass --allow-remote still run.
	f.BoolVar(&remote, "allow-remote", false, "")
	// it fails for unknown flags
	_ = f.MarkDeprecated("allow-remote", "remote clients need a token, whatever the address")
	f.Lookup("data").DefValue = "the user's data folder"
	return c
}

// ownFolder makes the data folder, or takes from others what they may do in one that is there. What stega keeps in it
// is put right too: it may be from a time in which others could read it.
func ownFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if files.Owner(info) != os.Getuid() {
		return fault.New(fault.KindForbidden, "data_folder_foreign",
			"the data folder %s belongs to the user %d, and not to you", dir, files.Owner(info)).
			WithHint("choose a folder of yours with --data")
	}
	if !files.Private(info) {
		if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a folder is entered by the x bit
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case name == ".":
			return nil
		case d.IsDir() && name != "broker" && !strings.HasPrefix(name, "broker"+string(filepath.Separator)):
			return filepath.SkipDir // of somebody else
		case !d.IsDir() && (!d.Type().IsRegular() || !ours(name)):
			return nil
		}
		info, err := d.Info()
		if err != nil || files.Private(info) {
			return err
		}
		return os.Chmod(path, info.Mode().Perm()&0o700) //nolint:gosec // the folder is private to its owner by now
	})
}

// ours reports whether a file of the data folder is one that stega keeps there.
func ours(name string) bool {
	if name == "token" || name == "lock" || strings.HasPrefix(name, "broker"+string(filepath.Separator)) {
		return true
	}
	for _, end := range []string{".db", ".db-wal", ".db-shm", ".db-journal"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// lockFolder makes the data folder and keeps other processes out of it.
func lockFolder(dir string) (unlock func(), err error) {
	cannot := func(err error) error {
		return fault.Unavailable("data_folder_unusable", "the data folder %s cannot be used", dir).
			WithHint("check that it may be written, or choose another with --data").Because(err)
	}
	if err := ownFolder(dir); err != nil {
		if f, ok := errors.AsType[*fault.Fault](err); ok {
			return nil, f
		}
		return nil, cannot(err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, cannot(err)
	}
	var free bool
	for try := 0; ; try++ {
		free, err = files.TryLock(file, false)
		if free || err != nil || try == 10 {
			break
		}
		time.Sleep(20 * time.Millisecond) // one that was killed may still be ending
	}
	if err == nil && !free {
		holder, _ := os.ReadFile(path)
		_ = file.Close()
		who := strings.TrimSpace(string(holder))
		if who == "" {
			who = "another process"
		} else {
			who = "process " + who
		}
		return nil, fault.Unavailable("data_folder_in_use", "the data folder %s is in use by %s", dir, who).
			WithHint("stop it first, or choose another folder with --data")
	}
	if err != nil {
		_ = file.Close()
		return nil, cannot(err)
	}
	if err := errors.Join(file.Truncate(0),
		second(file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0))); err != nil {
		_ = file.Close()
		return nil, cannot(err)
	}
	return func() { _ = file.Close() }, nil // the file stays, for removing it would race with the next process
}

func second[T any](_ T, err error) error { return err }
