package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume/subpath"
)

// Mounts lists what the runtime mounts into a container: its volumes and
// /etc/hosts. The pod's volumes have been prepared. Images are named as the pod
// names them. ips are the pod's addresses.
func (m *Manager) Mounts(ctx context.Context, pod *corev1.Pod, c *corev1.Container, env *podspec.Env, ips []string) ([]*runtimeapi.Mount, error) {
	if len(c.VolumeDevices) > 0 {
		return nil, fmt.Errorf("volume %q of container %q is to be a block device: this node makes file systems only", c.VolumeDevices[0].Name, c.Name)
	}
	var out []*runtimeapi.Mount
	hosts := true
	for i := range c.VolumeMounts {
		if findVolume(pod, c.VolumeMounts[i].Name) == nil {
			return nil, fmt.Errorf("volume %q of container %q is not in the pod", c.VolumeMounts[i].Name, c.Name)
		}
		made, err := m.mountOf(ctx, pod, c, i, env)
		if err != nil {
			return nil, err
		}
		hosts = hosts && made.ContainerPath != "/etc/hosts"
		out = append(out, made)
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

// mountOf is the mount of a container with the given index.
func (m *Manager) mountOf(ctx context.Context, pod *corev1.Pod, c *corev1.Container, index int, env *podspec.Env) (*runtimeapi.Mount, error) {
	vm := &c.VolumeMounts[index]
	v, err := m.mounted(pod.UID, vm.Name)
	if err != nil {
		return nil, err
	}
	sub := vm.SubPath
	if vm.SubPathExpr != "" {
		if sub, err = subpath.Expand(vm.SubPathExpr, env); err != nil {
			return nil, err
		}
	}
	at := vm.MountPath
	if !filepath.IsAbs(at) {
		at = "/" + at
	}
	if v.Image != "" {
		return &runtimeapi.Mount{ContainerPath: at, Readonly: true, ImageSubPath: sub,
			Image: &runtimeapi.ImageSpec{Image: v.Image, UserSpecifiedImage: v.Image}}, nil
	}
	from := v.Path
	if sub != "" {
		from = filepath.Join(m.Dir(pod.UID), "subpaths", vm.Name, c.Name, strconv.Itoa(index))
		if err := subpath.Bind(v.Path, sub, from); err != nil {
			return nil, fmt.Errorf("failed to prepare subPath for volumeMount %q of container %q: %w", vm.Name, c.Name, err)
		}
	}
	recursive, err := recursiveReadOnly(vm, func() (bool, error) {
		if m.cfg.RecursiveReadOnly == nil {
			return false, nil
		}
		return m.cfg.RecursiveReadOnly(ctx, pod)
	})
	if err != nil {
		return nil, fmt.Errorf("failed to resolve recursive read-only mode: %w", err)
	}
	return &runtimeapi.Mount{HostPath: from, ContainerPath: at, Readonly: vm.ReadOnly || v.ReadOnly,
		RecursiveReadOnly: recursive, Propagation: propagation(vm.MountPropagation)}, nil
}

func findVolume(pod *corev1.Pod, name string) *corev1.Volume {
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].Name == name {
			return &pod.Spec.Volumes[i]
		}
	}
	return nil
}

// recursiveReadOnly tells whether what is mounted below a mount must be
// read-only too. A runtime that cannot do so must not be asked: it would
// ignore the wish.
func recursiveReadOnly(vm *corev1.VolumeMount, supported func() (bool, error)) (bool, error) {
	if vm.RecursiveReadOnly == nil || *vm.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return false, nil
	}
	switch p := vm.MountPropagation; {
	case !vm.ReadOnly:
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not read-only", vm.Name)
	case p != nil && *p != corev1.MountPropagationNone:
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not compatible with propagation %q", vm.Name, *p)
	}
	possible, err := supported()
	switch {
	case err != nil:
		return false, err
	case *vm.RecursiveReadOnly == corev1.RecursiveReadOnlyIfPossible:
		return possible, nil
	case *vm.RecursiveReadOnly != corev1.RecursiveReadOnlyEnabled:
		return false, fmt.Errorf("unknown recursive read-only mode %q", *vm.RecursiveReadOnly)
	case !possible:
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not supported by the runtime", vm.Name)
	}
	return true, nil
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
