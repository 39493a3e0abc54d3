package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/maintain"
)

func storeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "store", Short: "Look after the embedded etcd: how full it is, space, snapshots"}
	cmd.AddCommand(storeStatusCommand(), storeReclaimCommand(), storeSnapshotCommand(), storeRestoreCommand())
	return cmd
}

func storeStatusCommand() *cobra.Command {
	var f client.Flags
	cmd := &cobra.Command{
		Use: "status", Short: "How large the database is, and whether it takes writes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := askStore(cmd.Context(), &f, "GET", maintain.StatusPath)
			if err != nil {
				return err
			}
			var s maintain.Status
			if err := json.Unmarshal(b, &s); err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			fmt.Fprintf(out, "file      %s\nin use    %s\nquota     %s\nrevision  %d\n", mebibytes(s.File), mebibytes(s.Used), mebibytes(s.Quota), s.Revision)
			if s.Problem != "" {
				fmt.Fprintf(out, "writes    refused: %s\n", s.Problem)
			} else {
				fmt.Fprintln(out, "writes    accepted")
			}
			return nil
		},
	}
	f.Add(cmd)
	return cmd
}

func storeReclaimCommand() *cobra.Command {
	var f client.Flags
	cmd := &cobra.Command{
		Use: "reclaim", Short: "Drop history and give the space back; a full database takes writes again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := askStore(cmd.Context(), &f, "POST", maintain.ReclaimPath)
			if err != nil {
				return err
			}
			var r maintain.Result
			if err := json.Unmarshal(b, &r); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The file went from %s to %s in %.1fs; %s are in use.\n", mebibytes(r.Before.File), mebibytes(r.After.File), r.Took.Seconds(), mebibytes(r.After.Used))
			return nil
		},
	}
	f.Add(cmd)
	return cmd
}

func storeSnapshotCommand() *cobra.Command {
	var f client.Flags
	cmd := &cobra.Command{
		Use: "snapshot FILE", Short: "Save all objects to a file, as `etcdctl snapshot save` does", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.Config()
			if err != nil {
				return err
			}
			n, err := saveSnapshot(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			steps.Print(cmd.OutOrStdout(), steps.Step{Name: "snapshot", Detail: fmt.Sprintf("%s, %s; keep it as secret as the cluster's keys", args[0], mebibytes(n))})
			return nil
		},
	}
	f.Add(cmd)
	return cmd
}

// saveSnapshot writes a whole snapshot to a file that only its owner reads, or
// leaves what was there.
func saveSnapshot(ctx context.Context, c *rest.Config, path string) (n int64, err error) {
	client, err := client.REST(c)
	if err != nil {
		return 0, err
	}
	body, err := client.Get().AbsPath(maintain.SnapshotPath).Stream(ctx)
	if err != nil {
		return 0, noStore(err)
	}
	defer body.Close()
	part, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(part.Name()) // gone already if all went well
	if n, err = io.Copy(part, body); err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return 0, fmt.Errorf("save the snapshot: %w", err)
	}
	if err := embed.CheckSnapshot(part.Name()); err != nil {
		return 0, err
	}
	return n, os.Rename(part.Name(), path)
}

// askStore sends a request about the embedded store.
func askStore(ctx context.Context, f *client.Flags, verb, path string) ([]byte, error) {
	c, err := f.Config()
	if err != nil {
		return nil, err
	}
	c.Timeout = 0 // a defragmentation takes as long as it takes
	b, err := client.Raw(ctx, c, verb, path, nil, nil)
	if err != nil {
		if text := strings.TrimSpace(string(b)); text != "" && !apierrors.IsNotFound(err) && text[0] != '{' {
			return nil, errors.New(text)
		}
		return nil, noStore(err)
	}
	return b, nil
}

// noStore explains a server without an embedded store.
func noStore(err error) error {
	if apierrors.IsNotFound(err) {
		return errors.New("this server keeps its objects in an external etcd: use etcdctl there")
	}
	return err
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func storeRestoreCommand() *cobra.Command {
	var dir string
	var skip bool
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Begin with the objects of a snapshot; the server must not run", Args: cobra.ExactArgs(1),
		Long: `Begin with the objects of a snapshot, when the server starts next. It must not
run. What was there is kept beside it.

The file is one of ` + "`pintle store snapshot`" + ` or ` + "`etcdctl snapshot save`" + `. When the log of a
member is damaged and its database is not, that is a snapshot without a checksum:
--skip-hash-check …/etcd/etcd/member/snap/db.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			abs, err := filepath.Abs(dir)
			if err != nil {
				return err
			}
			d := paths.Dir(abs)
			lock, err := lockStopped(d)
			if err != nil {
				return err
			}
			defer lock.Close()
			kept, err := embed.Restore(embed.Config{Dir: d.Etcd()}, args[0], skip)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			steps.Print(out, steps.Step{Name: "restored", Detail: args[0] + " to " + d.Etcd()})
			if kept != "" {
				steps.Print(out, steps.Step{Name: "kept", Detail: kept + ", what was there before; remove it when all is well"})
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "data-dir", paths.Default, "of the server")
	cmd.Flags().BoolVar(&skip, "skip-hash-check", false, "accept a file without a checksum: the database of a member")
	return cmd
}

// lockStopped takes the lock of a server that does not run.
func lockStopped(dir paths.Dir) (*os.File, error) {
	lock, err := daemon.Lock(dir.Lock())
	if errors.Is(err, daemon.ErrRunning) {
		pid, _ := daemon.Pid(dir.Lock())
		return nil, fmt.Errorf("a pintle of %s is %w (process %d); stop it first", dir, err, pid)
	}
	return lock, err
}
