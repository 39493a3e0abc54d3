// Package binaries builds what upstream's suite consists of, by the versions
// that this module's go.mod names.
package binaries

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A Binary is built from a package of the module graph.
type Binary struct {
	Name    string
	Package string
	test    bool // the package's test, instead of its command
}

// The suite itself and what runs it.
var (
	E2E    = Binary{Name: "e2e.test", Package: "k8s.io/kubernetes/test/e2e", test: true}
	Ginkgo = Binary{Name: "ginkgo", Package: "github.com/onsi/ginkgo/v2/ginkgo"}
)

// What runs in the images.
var (
	Agnhost      = Binary{Name: "agnhost", Package: "k8s.io/kubernetes/test/images/agnhost"}
	NoNewPrivs   = Binary{Name: "nnp", Package: "k8s.io/kubernetes/test/images/nonewprivs"}
	Regression   = Binary{Name: "regression-issue-74839", Package: "k8s.io/kubernetes/test/images/regression-issue-74839"}
	Consumer     = Binary{Name: "consumer", Package: "k8s.io/kubernetes/test/images/resource-consumer"}
	ConsumeCPU   = Binary{Name: "consume-cpu", Package: "k8s.io/kubernetes/test/images/resource-consumer/consume-cpu"}
	DevicePlugin = Binary{Name: "sampledeviceplugin", Package: "k8s.io/kubernetes/test/images/sample-device-plugin"}
	SampleServer = Binary{Name: "sample-apiserver", Package: "k8s.io/sample-apiserver"}
	Etcd         = Binary{Name: "etcd", Package: "go.etcd.io/etcd/server/v3"}
)

// ldflags tell the tests which Kubernetes they are of: some make what they send by that
// version. `make` of Kubernetes sets it in the same way.
const ldflags = "-ldflags=-s -w" +
	" -X k8s.io/component-base/version.gitVersion=v1.37.2" +
	" -X k8s.io/component-base/version.gitMajor=1" +
	" -X k8s.io/component-base/version.gitMinor=37"

// All is every binary, the longest to build first.
func All() []Binary {
	return []Binary{E2E, Agnhost, Ginkgo, SampleServer, Etcd, NoNewPrivs, Regression, Consumer, ConsumeCPU, DevicePlugin}
}

// Dir is a folder of built binaries.
type Dir string

// Path is where a binary is, once built.
func (d Dir) Path(b Binary) string { return filepath.Join(string(d), b.Name) }

// Build builds all binaries that are not there yet or whose sources changed
// (Go's build cache knows) and tells progress. module is the folder of this
// module's go.mod. The first time takes about nine minutes on two cores.
func (d Dir) Build(ctx context.Context, module string, progress io.Writer) error {
	if err := os.MkdirAll(string(d), 0o755); err != nil {
		return err
	}
	all := All()
	for i, b := range all {
		fmt.Fprintf(progress, "building %d of %d: %s\n", i+1, len(all), b.Name)
		begun := time.Now()
		args := []string{"build"}
		if b.test {
			args = []string{"test", "-c", "-vet=off"}
		}
		// Static, so that images need no libraries for them.
		args = append(args, "-trimpath", ldflags, "-o", d.Path(b), b.Package)
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = module
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s from %s: %w\n%s", b.Name, b.Package, err, out)
		}
		if took := time.Since(begun).Round(time.Second); took > 0 {
			fmt.Fprintf(progress, "built %s in %s\n", b.Name, took)
		}
	}
	return nil
}
