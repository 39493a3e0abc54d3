package projected

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume/ownership"
)

// maxContent bounds the files of a volume that the agent writes, in bytes
// together. In memory there is room for twice as much and slack for what a file
// takes beside its bytes: new content is written beside the old.
const (
	maxContent = 16 << 20
	slack      = 4 << 20
)

const defaultMode = 0o644

// file is one file of a written volume.
type file struct {
	data []byte
	mode int32
	user *int64 // whom it belongs to; nil is root
}

// content is what a written volume holds.
type content struct {
	files  map[string]file // by path relative to the volume
	size   int             // of files, in bytes
	memory bool            // must not reach a disk
	renew  time.Time
}

func (c *content) add(path string, data []byte, mode int32) error {
	if err := checkPath(path); err != nil {
		return err
	}
	if c.size += len(data); c.size > maxContent {
		return fmt.Errorf("the volume's files have more than %d MiB together: project fewer or smaller ones", maxContent>>20)
	}
	c.files[path] = file{data: data, mode: mode}
	return nil
}

// secretFile adds what nobody but the pod's own processes should read: where
// they are known by one user or by a group, nobody else may. The group's right
// is added with the group.
func (c *content) secretFile(pod *corev1.Pod, path string, data []byte, mode int32) error {
	user := podspec.OnlyUser(pod)
	if user != nil || ownership.FSGroup(pod) != nil {
		mode = 0o600
	}
	if err := c.add(path, data, mode); err != nil {
		return err
	}
	c.files[path] = file{data, mode, user}
	return nil
}

// checkPath keeps files inside of the volume and away from the names that the
// atomic update uses.
func checkPath(p string) error {
	if p == "" || path.IsAbs(p) || strings.HasPrefix(p, "..") {
		return fmt.Errorf("invalid path %q", p)
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return fmt.Errorf("path %q must not contain '..'", p)
		}
	}
	return nil
}

// content collects what a configMap, secret, downwardAPI or projected volume
// holds.
func (d *Driver) content(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (*content, error) {
	c := &content{files: map[string]file{}}
	switch {
	case v.ConfigMap != nil:
		s := v.ConfigMap
		return c, d.configMap(c, pod, s.Name, s.Items, mode(s.DefaultMode), s.Optional)
	case v.Secret != nil:
		s := v.Secret
		c.memory = true
		return c, d.secret(c, pod, s.SecretName, s.Items, mode(s.DefaultMode), s.Optional)
	case v.DownwardAPI != nil:
		return c, d.downward(c, pod, v.DownwardAPI.Items, mode(v.DownwardAPI.DefaultMode))
	case v.Projected != nil:
		c.memory = true
		for i := range v.Projected.Sources {
			s, m := &v.Projected.Sources[i], mode(v.Projected.DefaultMode)
			var err error
			if s.PodCertificate != nil {
				err = d.podCertificate(ctx, c, pod, v.Name, i, s.PodCertificate, m)
			} else {
				err = d.project(ctx, c, pod, s, m)
			}
			if err != nil {
				return nil, err
			}
		}
		return c, nil
	}
	return nil, errors.New("its kind is not supported on this node")
}

func mode(m *int32) int32 {
	if m == nil {
		return defaultMode
	}
	return *m
}

func (d *Driver) project(ctx context.Context, c *content, pod *corev1.Pod, s *corev1.VolumeProjection, mode int32) error {
	switch {
	case s.ConfigMap != nil:
		return d.configMap(c, pod, s.ConfigMap.Name, s.ConfigMap.Items, mode, s.ConfigMap.Optional)
	case s.Secret != nil:
		return d.secret(c, pod, s.Secret.Name, s.Secret.Items, mode, s.Secret.Optional)
	case s.DownwardAPI != nil:
		return d.downward(c, pod, s.DownwardAPI.Items, mode)
	case s.ClusterTrustBundle != nil:
		return d.trustBundle(c, pod, s.ClusterTrustBundle, mode)
	case s.ServiceAccountToken != nil:
		t := s.ServiceAccountToken
		tok, err := d.token(ctx, pod, t)
		if err != nil {
			return err
		}
		if c.renew.IsZero() || tok.renew.Before(c.renew) {
			c.renew = tok.renew
		}
		return c.secretFile(pod, t.Path, []byte(tok.Value), mode)
	}
	return errors.New("a source of the projected volume is not supported on this node")
}

func (d *Driver) configMap(c *content, pod *corev1.Pod, name string, items []corev1.KeyToPath, mode int32, optional *bool) error {
	obj, err := d.cfg.Sources.ConfigMap(pod.Namespace, name)
	if err != nil {
		return err
	}
	if obj == nil {
		return absent("configmap", name, optional)
	}
	data := make(map[string][]byte, len(obj.Data)+len(obj.BinaryData))
	for k, v := range obj.Data {
		data[k] = []byte(v)
	}
	for k, v := range obj.BinaryData {
		data[k] = v
	}
	return c.items(data, items, mode, optional, "configmap "+pod.Namespace+"/"+name)
}

func (d *Driver) secret(c *content, pod *corev1.Pod, name string, items []corev1.KeyToPath, mode int32, optional *bool) error {
	obj, err := d.cfg.Sources.Secret(pod.Namespace, name)
	if err != nil {
		return err
	}
	if obj == nil {
		return absent("secret", name, optional)
	}
	return c.items(obj.Data, items, mode, optional, "secret "+pod.Namespace+"/"+name)
}

func absent(kind, name string, optional *bool) error {
	if optional != nil && *optional {
		return nil
	}
	return podspec.Missing("%s %q not found", kind, name)
}

// items adds the chosen keys under their paths, or all keys under their names.
func (c *content) items(data map[string][]byte, items []corev1.KeyToPath, mode int32, optional *bool, what string) error {
	if len(items) == 0 {
		for k, v := range data {
			if err := c.add(k, v, mode); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range items {
		v, ok := data[i.Key]
		if !ok {
			if optional != nil && *optional {
				continue
			}
			return podspec.Missing("%s references non-existent key: %s", what, i.Key)
		}
		own := mode
		if i.Mode != nil {
			own = *i.Mode
		}
		if err := c.add(i.Path, v, own); err != nil {
			return err
		}
	}
	return nil
}

func (d *Driver) downward(c *content, pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode int32) error {
	node := d.cfg.Node()
	for _, i := range items {
		var (
			value string
			err   error
		)
		switch {
		case i.FieldRef != nil:
			value, err = podspec.Field(pod, i.FieldRef.FieldPath, node, nil)
		case i.ResourceFieldRef != nil:
			value, err = podspec.ResourceField(pod, nil, i.ResourceFieldRef, node.Allocatable)
		}
		if err != nil {
			return err
		}
		own := mode
		if i.Mode != nil {
			own = *i.Mode
		}
		if err := c.add(i.Path, []byte(value), own); err != nil {
			return err
		}
	}
	return nil
}
