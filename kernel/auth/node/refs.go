package node

import (
	corev1 "k8s.io/api/core/v1"
)

// refKind is what a pod may refer to by name in its own namespace.
type refKind int

const (
	refSecret refKind = iota
	refConfigMap
	refServiceAccount
	refClaim
	refResourceClaim
)

// refers reports that a pod names an object of a kind anywhere in its spec.
func refers(p *corev1.Pod, kind refKind, name string) bool {
	switch kind {
	case refServiceAccount:
		return p.Spec.ServiceAccountName == name
	case refResourceClaim:
		return refersClaim(p, name)
	}
	found := false
	visitRefs(p, func(k refKind, n string) bool {
		found = k == kind && n == name
		return !found
	})
	return found
}

func refersClaim(p *corev1.Pod, name string) bool {
	for _, c := range p.Spec.ResourceClaims {
		if c.ResourceClaimName != nil && *c.ResourceClaimName == name {
			return true
		}
	}
	for _, c := range p.Status.ResourceClaimStatuses {
		if c.ResourceClaimName != nil && *c.ResourceClaimName == name {
			return true
		}
	}
	return false
}

// visitRefs calls fn with what the pod refers to until it returns false.
func visitRefs(p *corev1.Pod, fn func(refKind, string) bool) {
	s := &p.Spec
	for _, r := range s.ImagePullSecrets {
		if !fn(refSecret, r.Name) {
			return
		}
	}
	for i := range s.Volumes {
		if !visitVolume(p, &s.Volumes[i], fn) {
			return
		}
	}
	for _, list := range [][]corev1.Container{s.InitContainers, s.Containers} {
		for i := range list {
			if !visitEnv(list[i].Env, list[i].EnvFrom, fn) {
				return
			}
		}
	}
	for i := range s.EphemeralContainers {
		if !visitEnv(s.EphemeralContainers[i].Env, s.EphemeralContainers[i].EnvFrom, fn) {
			return
		}
	}
}

func visitEnv(env []corev1.EnvVar, from []corev1.EnvFromSource, fn func(refKind, string) bool) bool {
	for _, e := range env {
		if e.ValueFrom == nil {
			continue
		}
		if r := e.ValueFrom.SecretKeyRef; r != nil && !fn(refSecret, r.Name) {
			return false
		}
		if r := e.ValueFrom.ConfigMapKeyRef; r != nil && !fn(refConfigMap, r.Name) {
			return false
		}
	}
	for _, e := range from {
		if r := e.SecretRef; r != nil && !fn(refSecret, r.Name) {
			return false
		}
		if r := e.ConfigMapRef; r != nil && !fn(refConfigMap, r.Name) {
			return false
		}
	}
	return true
}

func visitVolume(p *corev1.Pod, v *corev1.Volume, fn func(refKind, string) bool) bool {
	switch {
	case v.Secret != nil:
		return fn(refSecret, v.Secret.SecretName)
	case v.ConfigMap != nil:
		return fn(refConfigMap, v.ConfigMap.Name)
	case v.PersistentVolumeClaim != nil:
		return fn(refClaim, v.PersistentVolumeClaim.ClaimName)
	case v.Ephemeral != nil:
		return fn(refClaim, p.Name+"-"+v.Name)
	case v.Projected != nil:
		return visitProjected(v.Projected, fn)
	}
	if name := volumeSecret(v); name != "" {
		return fn(refSecret, name)
	}
	return true
}

func visitProjected(v *corev1.ProjectedVolumeSource, fn func(refKind, string) bool) bool {
	for _, s := range v.Sources {
		if s.Secret != nil && !fn(refSecret, s.Secret.Name) {
			return false
		}
		if s.ConfigMap != nil && !fn(refConfigMap, s.ConfigMap.Name) {
			return false
		}
	}
	return true
}

// volumeSecret is the secret with which a volume's driver logs in.
func volumeSecret(v *corev1.Volume) string {
	var r *corev1.LocalObjectReference
	switch {
	case v.AzureFile != nil:
		return v.AzureFile.SecretName
	case v.CSI != nil:
		r = v.CSI.NodePublishSecretRef
	case v.CephFS != nil:
		r = v.CephFS.SecretRef
	case v.Cinder != nil:
		r = v.Cinder.SecretRef
	case v.FlexVolume != nil:
		r = v.FlexVolume.SecretRef
	case v.ISCSI != nil:
		r = v.ISCSI.SecretRef
	case v.RBD != nil:
		r = v.RBD.SecretRef
	case v.ScaleIO != nil:
		r = v.ScaleIO.SecretRef
	case v.StorageOS != nil:
		r = v.StorageOS.SecretRef
	}
	if r == nil {
		return ""
	}
	return r.Name
}
