// Package localpath keeps the volumes that the provisioner pintle.dev/local-path
// places on this node: each is a directory below the agent's own.
//
// The Driver makes the directory when a pod first mounts the volume. The Keeper
// removes it when the volume is being deleted and was not to be kept, and lets the
// volume go then. The provisioner (plugins/controllers/localpath) only writes
// PersistentVolumes.
//
// RATIONALE.md: "Why does the node agent remove local volumes?"
package localpath

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/volume/driver"
	"github.com/pintle-io/pintle/node/volume/ownership"
)

// What the provisioner, the node agents and the server agree on.
const (
	// Provisioner is the name that StorageClasses ask for.
	Provisioner = "pintle.dev/local-path"
	// NodeLabel of a volume is the node that has it.
	NodeLabel = "pintle.dev/local-path-node"
	// Finalizer of a volume is removed here, after the directory.
	Finalizer = "pintle.dev/local-path"
	// DirectoryAnnotation of a node is where its agent keeps such volumes.
	DirectoryAnnotation = "pintle.dev/local-path-directory"
)

const provisionedBy = "pv.kubernetes.io/provisioned-by"

// Driver makes the volumes of Node that are below Root, an absolute path.
type Driver struct{ Root, Node string }

// Name is the kind's name.
func (Driver) Name() string { return "local-path" }

// Supports reports whether a volume is one of the provisioner's.
func (Driver) Supports(s driver.Spec) bool {
	return s.Persistent != nil && s.Persistent.Spec.Local != nil && s.Persistent.Annotations[provisionedBy] == Provisioner
}

// Setup makes the directory, writable for everybody and for the pod's group. One
// that is there is left as the pods before left it.
func (d Driver) Setup(_ context.Context, r *driver.Request) (driver.Mount, error) {
	if on := r.Persistent.Labels[NodeLabel]; on != d.Node {
		// Its data are there: here it would be another volume, and empty.
		return driver.Mount{}, fmt.Errorf("volume %s is on node %q, by its label %s, and this is node %q", r.Persistent.Name, on, NodeLabel, d.Node)
	}
	at, err := directory(d.Root, r.Persistent)
	if err != nil {
		return driver.Mount{}, err
	}
	if _, err := os.Lstat(at); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return driver.Mount{Path: at}, err
	}
	// Under another name first: one that is half made is not taken for ready.
	fresh := half(at)
	if err := os.MkdirAll(fresh, 0o755); err != nil {
		return driver.Mount{}, err
	}
	if err := os.Chmod(fresh, 0o777); err != nil { // past the umask
		return driver.Mount{}, err
	}
	if g := ownership.FSGroup(r.Pod); g != nil {
		if err := ownership.Give(fresh, *g, false); err != nil {
			return driver.Mount{}, err
		}
	}
	return driver.Mount{Path: at}, os.Rename(fresh, at)
}

// directory is where a volume is: nowhere but below root, whatever it says.
func directory(root string, v *corev1.PersistentVolume) (string, error) {
	at := filepath.Join(root, v.Name)
	if v.Spec.Local == nil || filepath.Clean(v.Spec.Local.Path) != at || filepath.Dir(at) != filepath.Clean(root) {
		return "", fmt.Errorf("volume %s: its path is not %s, where volumes of %s are on this node", v.Name, at, Provisioner)
	}
	return at, nil
}

// half is where a volume is made: no volume's name begins with a dot.
func half(at string) string {
	return filepath.Join(filepath.Dir(at), ".new-"+filepath.Base(at))
}

var _ driver.Driver = Driver{}
