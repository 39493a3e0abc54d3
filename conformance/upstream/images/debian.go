package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packages are what upstream's images get from their distributions: DNS tools,
// a web server, netcat, ip, ipcs, stress and the like.
var packages = []string{"dnsutils", "nginx-light", "curl", "wget", "net-tools", "netcat-openbsd", "iproute2", "iptables", "procps", "perl", "socat", "stress", "util-linux", "bash-static"}

const suite = "bookworm"

// Debian is a small Debian with what the tests call.
type Debian struct {
	Tree  string // all of it, a tar file
	Shell string // a static bash
}

// MakeDebian makes one in dir, once; it needs root, and installs debootstrap
// if that is missing.
func MakeDebian(ctx context.Context, dir string, progress io.Writer) (Debian, error) {
	made := Debian{Tree: filepath.Join(dir, "debian-"+suite+".tar"), Shell: filepath.Join(dir, "bash-static")}
	if _, err := os.Stat(made.Tree); err == nil {
		return made, nil
	}
	return made, bootstrap(ctx, dir, made, progress)
}

func bootstrap(ctx context.Context, dir string, made Debian, progress io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("making images of a Debian needs root")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if _, err := exec.LookPath("debootstrap"); err != nil {
		fmt.Fprintln(progress, "installing debootstrap")
		if err := run(ctx, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap"); err != nil {
			return err
		}
	}
	root, err := os.MkdirTemp(dir, "debian")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	fmt.Fprintln(progress, "making a Debian for the images (a minute or two)")
	if err := run(ctx, "debootstrap", "--variant=minbase", "--include="+strings.Join(packages, ","), suite, root); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(root, "bin/bash-static"), made.Shell); err != nil {
		return err
	}
	return archiveTree(root, made.Tree)
}

// run runs a command and tells what it printed if it failed.
func run(ctx context.Context, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); len(lines) > 10 {
		out = []byte(strings.Join(lines[len(lines)-10:], "\n"))
	}
	return fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, out)
}
