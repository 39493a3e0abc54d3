package legacytokencleaner

import corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"

// refers tells that a pod uses the Secret of the name, in whichever way a pod can.
func refers(p *corev1.Pod, name string) bool {
	for _, r := range p.Spec.ImagePullSecrets {
		if r.Name == name {
			return true
		}
	}
	for i := range p.Spec.InitContainers {
		if reads(p.Spec.InitContainers[i].Env, p.Spec.InitContainers[i].EnvFrom, name) {
			return true
		}
	}
	for i := range p.Spec.Containers {
		if reads(p.Spec.Containers[i].Env, p.Spec.Containers[i].EnvFrom, name) {
			return true
		}
	}
	for i := range p.Spec.EphemeralContainers {
		if reads(p.Spec.EphemeralContainers[i].Env, p.Spec.EphemeralContainers[i].EnvFrom, name) {
			return true
		}
	}
	for i := range p.Spec.Volumes {
		if mounts(&p.Spec.Volumes[i], name) {
			return true
		}
	}
	return false
}

func reads(env []corev1.EnvVar, from []corev1.EnvFromSource, name string) bool {
	for _, e := range env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil && e.ValueFrom.SecretKeyRef.Name == name {
			return true
		}
	}
	for _, e := range from {
		if e.SecretRef != nil && e.SecretRef.Name == name {
			return true
		}
	}
	return false
}

// mounts tells that a volume is of the Secret, or is mounted with what it holds.
func mounts(v *corev1.Volume, name string) bool {
	local := func(r *corev1.LocalObjectReference) bool { return r != nil && r.Name == name }
	switch {
	case v.Secret != nil:
		return v.Secret.SecretName == name
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil && s.Secret.Name == name {
				return true
			}
		}
		return false
	case v.CSI != nil:
		return local(v.CSI.NodePublishSecretRef)
	case v.AzureFile != nil:
		return v.AzureFile.SecretName == name
	case v.CephFS != nil:
		return local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		return local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		return local(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		return local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		return local(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		return local(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		return local(v.StorageOS.SecretRef)
	}
	return false
}
