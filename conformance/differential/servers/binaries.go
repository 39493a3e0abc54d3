package servers

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// version is what Kubernetes' programs say that they are: without it, "v0.0.0-master",
// and `/version` would differ for no reason.
const version = "v1.37.2"

var ldflags = "-ldflags=-s -w" +
	" -X k8s.io/component-base/version.gitVersion=" + version +
	" -X k8s.io/component-base/version.gitMajor=1" +
	" -X k8s.io/component-base/version.gitMinor=37"

// Binary is a program that Kubernetes' side consists of.
type Binary struct{ name, pkg string }

// The programs, in the versions that this module's go.mod names.
var (
	APIServer         = Binary{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"}
	ControllerManager = Binary{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"}
	Etcd              = Binary{"etcd", "go.etcd.io/etcd/server/v3"}
)

// Build builds programs into dir, unless they are there and as their sources
// are (Go's build cache knows). module is the folder of this module's go.mod.
// The first time takes about six minutes on two cores, one of which it leaves
// to others.
func Build(ctx context.Context, module, dir string, progress io.Writer, binaries ...Binary) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, b := range binaries {
		fmt.Fprintf(progress, "building %s\n", b.name)
		begun := time.Now()
		cmd := exec.CommandContext(ctx, "go", "build", "-p", "1", ldflags, "-o", filepath.Join(dir, b.name), b.pkg)
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s from %s: %w\n%s", b.name, b.pkg, err, out)
		}
		if took := time.Since(begun).Round(time.Second); took > 5*time.Second {
			fmt.Fprintf(progress, "built %s in %s\n", b.name, took)
		}
	}
	return nil
}
