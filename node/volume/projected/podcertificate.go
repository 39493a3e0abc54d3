package projected

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// podCertificate adds the files of a key and its certificates (KEP-4317): both
// in one, each in its own, or all three, as the source says. index is its place
// among the sources of the volume.
func (d *Driver) podCertificate(ctx context.Context, c *content, pod *corev1.Pod, volume string, index int, s *corev1.PodCertificateProjection, mode int32) error {
	if d.cfg.Credential == nil {
		return errors.New("no certificates for pods are available on this node")
	}
	key, chain, err := d.cfg.Credential(ctx, pod, volume, index)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path string
		data []byte
	}{{s.CredentialBundlePath, slices.Concat(key, chain)}, {s.KeyPath, key}, {s.CertificateChainPath, chain}} {
		if f.path == "" {
			continue
		}
		if err := c.secretFile(pod, f.path, f.data, mode); err != nil {
			return err
		}
	}
	return nil
}
