package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
)

// Mounts lists what the runtime mounts into a container: its volumes and
// /etc/hosts. The pod's volumes have been prepared. Images are named as the pod
// names them. ips are the pod's addresses.
func (m *Manager) Mounts(ctx context.Context, pod *corev1.Pod, c *corev1.Container, env *podspec.Env, ips []string) ([]*runtimeapi.Mount, error) {
	var out []*runtimeapi.Mount
	hosts := true
	for i := range c.VolumeMounts {
		vm := &c.VolumeMounts[i]
		v := findVolume(pod, vm.Name)
		if v == nil {
			return nil, fmt.Errorf("volume %q of container %q is not in the pod", vm.Name, c.Name)
		}
		if v.Image != nil {
			im, err := imageMount(v, vm, env)
			if err != nil {
				return nil, err
			}
			hosts = hosts && im.ContainerPath != "/etc/hosts"
			out = append(out, im)
			continue
		}
		from, err := m.source(ctx, pod, v)
		if err != nil {
			return nil, &Error{v.Name, err}
		}
		sub := vm.SubPath
		if vm.SubPathExpr != "" {
			if sub, err = expandPath(vm.SubPathExpr, env); err != nil {
				return nil, err
			}
		}
		if sub != "" {
			if from, err = m.subPath(pod, c, i, vm.Name, from, sub); err != nil {
				return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", vm.Name, c.Name, err)
			}
		}
		at := vm.MountPath
		if !filepath.IsAbs(at) {
			at = "/" + at
		}
		if at == "/etc/hosts" {
			hosts = false
		}
		out = append(out, &runtimeapi.Mount{HostPath: from, ContainerPath: at,
			Readonly: vm.ReadOnly || written(v), Propagation: propagation(vm.MountPropagation)})
	}
	if hosts {
		file, err := m.hostsFile(pod, ips)
		if err != nil {
			return nil, fmt.Errorf("hosts file: %w", err)
		}
		out = append(out, &runtimeapi.Mount{HostPath: file, ContainerPath: "/etc/hosts"})
	}
	return out, nil
}

func findVolume(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}

// written reports whether the agent writes the volume: containers may not.
func written(v *corev1.Volume) bool {
	return v.ConfigMap != nil || v.Secret != nil || v.DownwardAPI != nil || v.Projected != nil
}

func propagation(p *corev1.MountPropagationMode) runtimeapi.MountPropagation {
	if p != nil {
		switch *p {
		case corev1.MountPropagationBidirectional:
			return runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL
		case corev1.MountPropagationHostToContainer:
			return runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER
		}
	}
	return runtimeapi.MountPropagation_PROPAGATION_PRIVATE
}

func expandPath(expr string, env *podspec.Env) (string, error) {
	unknown := ""
	out := podspec.Expand(expr, func(name string) (string, bool) {
		v, ok := env.Get(name)
		if !ok {
			unknown = name
		}
		return v, ok
	})
	if unknown != "" {
		return "", fmt.Errorf("missing value for %q, in subPathExpr %q", unknown, expr)
	}
	if filepath.IsAbs(out) {
		return "", fmt.Errorf("subPathExpr %q expanded to an absolute path", expr)
	}
	return out, nil
}

// subPath binds a part of a volume to a place of the agent's own, and returns
// that. The part is opened beneath the volume, whatever links a container may
// have put there, and bound by its open descriptor, so that it cannot be
// exchanged in between.
func (m *Manager) subPath(pod *corev1.Pod, c *corev1.Container, index int, volume, from, sub string) (string, error) {
	root, err := os.OpenRoot(from)
	if err != nil {
		return "", err
	}
	defer root.Close()
	sub = filepath.Clean(sub)
	f, err := root.Open(sub)
	if errors.Is(err, fs.ErrNotExist) {
		if err := root.MkdirAll(sub, 0o755); err != nil {
			return "", err
		}
		f, err = root.Open(sub)
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	target := filepath.Join(m.Dir(pod.UID), "subpaths", volume, c.Name, strconv.Itoa(index))
	if err := mount.Detach(target); err != nil { // of the instance before
		return "", err
	}
	if err := makeLike(target, fi); err != nil {
		return "", err
	}
	return target, mountFD(f, target)
}

func mountFD(f *os.File, target string) error {
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", target, err)
	}
	return nil
}

// makeLike makes an empty directory or file for something to be bound upon.
func makeLike(target string, fi fs.FileInfo) error {
	if fi.IsDir() {
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return os.MkdirAll(target, 0o750)
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return err
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(target, nil, 0o640)
}

// hostsFile writes the pod's /etc/hosts. Containers may change it; what they
// wrote stays until the next container of the pod starts.
func (m *Manager) hostsFile(pod *corev1.Pod, ips []string) (string, error) {
	var node []byte
	if podspec.HostNetwork(pod) {
		var err error
		if node, err = os.ReadFile("/etc/hosts"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	file := filepath.Join(m.Dir(pod.UID), "etc-hosts")
	return file, os.WriteFile(file, podspec.Hosts(pod, ips, m.cfg.Node().DNS.Domain, node), 0o644)
}

// TerminationLog makes the file that an instance leaves its last words in.
func (m *Manager) TerminationLog(pod *corev1.Pod, c *corev1.Container, restarts int32) (string, error) {
	dir := filepath.Join(m.Dir(pod.UID), "containers", c.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, strconv.Itoa(int(restarts)))
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return "", err
	}
	// Any user of the container may write it, past the umask.
	return file, errors.Join(f.Chmod(0o666), f.Close())
}
