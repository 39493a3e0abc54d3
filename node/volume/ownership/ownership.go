// Package ownership gives volumes to the group that a pod's processes are in.
// A kind of volume calls it in Setup for what it has made itself; what belongs
// to others, such as a hostPath, is not changed.
package ownership

import (
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
)

// FSGroup is the group that a pod wants its volumes to belong to, or nil.
func FSGroup(pod *corev1.Pod) *int64 {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	return pod.Spec.SecurityContext.FSGroup
}

// Give gives a tree to a group: the group may read, and write unless readOnly,
// and what is made in its directories belongs to the group too.
func Give(dir string, group int64, readOnly bool) error {
	return filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := os.Lchown(p, -1, int(group)); err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		mode := fi.Mode()
		add := fs.FileMode(0o660)
		if readOnly {
			add = 0o440
		}
		if d.IsDir() {
			add |= 0o110 | fs.ModeSetgid
		}
		return os.Chmod(p, mode|add)
	})
}
