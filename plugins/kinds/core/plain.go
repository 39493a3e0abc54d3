package core

import (
	"context"
	"crypto/tls"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/uuid"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	pvutil "k8s.io/kubernetes/pkg/api/persistentvolume"
	pvcutil "k8s.io/kubernetes/pkg/api/persistentvolumeclaim"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/features"
	volumevalidation "k8s.io/kubernetes/pkg/volume/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
	"github.com/pintle-io/pintle/plugins/kinds/podtemplate"
)

func plainKinds(opts Options) []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Kind: "ConfigMap", Resource: "configmaps", Short: []string{"cm"}}, kind.Rule[corev1.ConfigMap, core.ConfigMap]{
			Validate:       validation.ValidateConfigMap,
			ValidateUpdate: validation.ValidateConfigMapUpdate,
		}),
		kind.Define(kind.Names{Kind: "Endpoints", Resource: "endpoints", Short: []string{"ep"}, Prefix: "services/endpoints"}, kind.Rule[corev1.Endpoints, core.Endpoints]{
			CreateOnUpdate: true,
			Validate:       validation.ValidateEndpointsCreate,
			ValidateUpdate: validation.ValidateEndpointsUpdate,
			Warn:           endpointsWarnings,
		}),
		kind.Define(kind.Names{Kind: "LimitRange", Resource: "limitranges", NeedsImplementer: true, Short: []string{"limits"}}, kind.Rule[corev1.LimitRange, core.LimitRange]{
			CreateOnUpdate: true,
			Create: func(_ context.Context, l *corev1.LimitRange) {
				if l.Name == "" {
					l.Name = string(uuid.NewUUID())
				}
			},
			Validate: validation.ValidateLimitRange,
		}),
		componentStatuses(),
		namespaces(),
		nodes(),
		kind.Define(kind.Names{Kind: "PersistentVolume", Resource: "persistentvolumes", NeedsImplementer: true, Short: []string{"pv"}, Cluster: true}, persistentVolumes(opts)),
		kind.Define(kind.Names{Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims", NeedsImplementer: true, Short: []string{"pvc"}}, persistentVolumeClaims()),
		kind.Define(kind.Names{Kind: "PodTemplate", Resource: "podtemplates"}, kind.Rule[corev1.PodTemplate, core.PodTemplate]{
			Generation:    kind.BySpec,
			ReturnDeleted: true,
			Internal: func(_ context.Context, t, old *core.PodTemplate) {
				podutil.DropDisabledTemplateFields(&t.Template, podtemplate.Of(old, func(o *core.PodTemplate) *core.PodTemplateSpec { return &o.Template }))
			},
			Validate: func(t *core.PodTemplate) field.ErrorList {
				return validation.ValidatePodTemplate(t, podutil.GetValidationOptionsFromPodTemplate(&t.Template, nil))
			},
			ValidateUpdate: func(t, old *core.PodTemplate) field.ErrorList {
				return validation.ValidatePodTemplateUpdate(t, old, podutil.GetValidationOptionsFromPodTemplate(&t.Template, &old.Template))
			},
			Warn: func(ctx context.Context, t, old *core.PodTemplate) []string {
				return podtemplate.Warnings(ctx, field.NewPath("template"), t, old, func(o *core.PodTemplate) *core.PodTemplateSpec { return &o.Template })
			},
		}),
		kind.Define(kind.Names{Kind: "ReplicationController", Resource: "replicationcontrollers", NeedsImplementer: true, Short: []string{"rc"}, Categories: kind.All, Prefix: "controllers"}, replicationControllers()),
		kind.Define(kind.Names{Kind: "ResourceQuota", Resource: "resourcequotas", NeedsImplementer: true, Short: []string{"quota"}}, kind.Rule[corev1.ResourceQuota, core.ResourceQuota]{
			Status:         kind.HasStatus,
			ReturnDeleted:  true,
			Validate:       validation.ValidateResourceQuota,
			ValidateUpdate: validation.ValidateResourceQuotaUpdate,
			ValidateStatus: validation.ValidateResourceQuotaStatusUpdate,
			Warn:           quotaWarnings,
		}),
		kind.Define(kind.Names{Kind: "Secret", Resource: "secrets"}, kind.Rule[corev1.Secret, core.Secret]{
			Update: func(_ context.Context, s, old *corev1.Secret) {
				if s.Type == "" {
					s.Type = old.Type
				}
			},
			Validate:       validation.ValidateSecret,
			ValidateUpdate: validation.ValidateSecretUpdate,
			Warn: func(_ context.Context, s, _ *core.Secret) []string {
				if s.Type != core.SecretTypeTLS {
					return nil
				}
				if _, err := tls.X509KeyPair(s.Data[core.TLSCertKey], s.Data[core.TLSPrivateKeyKey]); err != nil {
					return []string{err.Error()}
				}
				return nil
			},
			Fields: []kind.Selectable[corev1.Secret]{{Label: "type", Value: func(s *corev1.Secret) string { return string(s.Type) }}},
		}),
		kind.Define(kind.Names{Kind: "ServiceAccount", Resource: "serviceaccounts", NeedsImplementer: true, Short: []string{"sa"}}, kind.Rule[corev1.ServiceAccount, core.ServiceAccount]{
			ReturnDeleted:  true,
			Create:         func(_ context.Context, a *corev1.ServiceAccount) { bareSecretReferences(a) },
			Update:         func(_ context.Context, a, _ *corev1.ServiceAccount) { bareSecretReferences(a) },
			Validate:       validation.ValidateServiceAccount,
			ValidateUpdate: validation.ValidateServiceAccountUpdate,
			Warn:           serviceAccountWarnings,
			Subresources: []resource.Subresource{{Name: "token", Style: resource.StyleAction, Verbs: kind.CreateVerbs,
				Kind: schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}}},
		}),
		bindings(),
	}
}

func persistentVolumes(opts Options) kind.Rule[corev1.PersistentVolume, core.PersistentVolume] {
	now := func() *metav1.Time { return &metav1.Time{Time: opts.Clock.Now()} }
	return kind.Rule[corev1.PersistentVolume, core.PersistentVolume]{
		Status:        kind.HasStatus,
		ReturnDeleted: true,
		Create: func(_ context.Context, v *corev1.PersistentVolume) {
			v.Status.Phase, v.Status.LastPhaseTransitionTime = corev1.VolumePending, now()
		},
		Internal: func(_ context.Context, v, old *core.PersistentVolume) {
			var oldSpec *core.PersistentVolumeSpec
			if old != nil {
				oldSpec = &old.Spec
			}
			pvutil.DropDisabledSpecFields(&v.Spec, oldSpec)
		},
		// The transition time follows the phase unless the client set it.
		StatusUpdate: func(_ context.Context, v, old *corev1.PersistentVolume) {
			s, o := &v.Status, &old.Status
			switch {
			case s.Phase == o.Phase && s.LastPhaseTransitionTime == nil:
				s.LastPhaseTransitionTime = o.LastPhaseTransitionTime
			case s.Phase != o.Phase && (s.LastPhaseTransitionTime == nil || s.LastPhaseTransitionTime.Equal(o.LastPhaseTransitionTime)):
				s.LastPhaseTransitionTime = now()
			}
		},
		Validate: func(v *core.PersistentVolume) field.ErrorList {
			return append(validation.ValidatePersistentVolume(v, validation.ValidationOptionsForPersistentVolume(v, nil)), volumevalidation.ValidatePersistentVolume(v)...)
		},
		ValidateUpdate: func(v, old *core.PersistentVolume) field.ErrorList {
			o := validation.ValidationOptionsForPersistentVolume(v, old)
			errs := append(validation.ValidatePersistentVolume(v, o), volumevalidation.ValidatePersistentVolume(v)...)
			return append(errs, validation.ValidatePersistentVolumeUpdate(v, old, o)...)
		},
		ValidateStatus: validation.ValidatePersistentVolumeStatusUpdate,
		Warn: func(_ context.Context, v, _ *core.PersistentVolume) []string {
			return pvutil.GetWarningsForPersistentVolume(v)
		},
	}
}

func persistentVolumeClaims() kind.Rule[corev1.PersistentVolumeClaim, core.PersistentVolumeClaim] {
	return kind.Rule[corev1.PersistentVolumeClaim, core.PersistentVolumeClaim]{
		Status:        kind.HasStatus,
		Create:        func(_ context.Context, c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimPending },
		ReturnDeleted: true,
		Internal: func(_ context.Context, c, old *core.PersistentVolumeClaim) {
			var oldSpec *core.PersistentVolumeClaimSpec
			if old != nil {
				oldSpec = &old.Spec
			}
			pvcutil.DropDisabledFields(&c.Spec, oldSpec)
			pvcutil.EnforceDataSourceBackwardsCompatibility(&c.Spec, oldSpec)
			pvcutil.NormalizeDataSources(&c.Spec)
		},
		StatusInternal: pvcutil.DropDisabledFieldsFromStatus,
		Validate: func(c *core.PersistentVolumeClaim) field.ErrorList {
			return validation.ValidatePersistentVolumeClaim(c, validation.ValidationOptionsForPersistentVolumeClaim(c, nil))
		},
		ValidateUpdate: func(c, old *core.PersistentVolumeClaim) field.ErrorList {
			old = old.DeepCopy() // normalising must not reach the cache
			pvcutil.NormalizeDataSources(&old.Spec)
			return validation.ValidatePersistentVolumeClaimUpdate(c, old, validation.ValidationOptionsForPersistentVolumeClaim(c, old))
		},
		ValidateStatus: func(c, old *core.PersistentVolumeClaim) field.ErrorList {
			return validation.ValidatePersistentVolumeClaimStatusUpdate(c, old, validation.ValidationOptionsForPersistentVolumeClaim(c, old))
		},
		Warn: func(_ context.Context, c, _ *core.PersistentVolumeClaim) []string {
			return pvcutil.GetWarningsForPersistentVolumeClaim(c)
		},
	}
}

func nodes() *resource.Definition {
	return kind.Define(kind.Names{Kind: "Node", Resource: "nodes", NeedsImplementer: true, Short: []string{"no"}, Cluster: true, Prefix: "minions"}, kind.Rule[corev1.Node, core.Node]{
		Status: kind.FreeOnCreation,
		Create: func(_ context.Context, n *corev1.Node) { n.Spec.ConfigSource, n.Status.Config = nil, nil },
		Update: func(_ context.Context, n, old *corev1.Node) {
			if old.Spec.ConfigSource == nil {
				n.Spec.ConfigSource = nil
			}
		},
		Internal: func(_ context.Context, n, old *core.Node) {
			if !kind.Enabled(features.InPlacePodVerticalScalingSchedulerPreemption) && (old == nil || old.Spec.PodPreemptionPolicy == nil) {
				n.Spec.PodPreemptionPolicy = nil
			}
		},
		StatusUpdate: func(_ context.Context, n, old *corev1.Node) {
			if old.Status.Config == nil {
				n.Status.Config = nil
			}
		},
		Validate:       validation.ValidateNode,
		ValidateUpdate: kind.Both(validation.ValidateNode, validation.ValidateNodeUpdate),
		ValidateStatus: validation.ValidateNodeUpdate,
		Declare: func(_, _ *core.Node) kind.Declaration {
			return kind.Declaration{Options: kind.Gates(features.InPlacePodVerticalScalingSchedulerPreemption)}
		},
		Warn: func(_ context.Context, n, _ *core.Node) []string { return nodeWarnings(n) },
		Fields: []kind.Selectable[corev1.Node]{
			{Label: "spec.unschedulable", Value: func(n *corev1.Node) string { return strconv.FormatBool(n.Spec.Unschedulable) }},
		},
		Subresources: []resource.Subresource{{Name: "proxy", Style: resource.StyleConnect, Verbs: proxyVerbs,
			Kind: corev1.SchemeGroupVersion.WithKind("NodeProxyOptions"), Connect: connectNodeProxy,
			Options: func(path string, _ map[string][]string) (runtime.Object, error) {
				return &corev1.NodeProxyOptions{Path: path}, nil
			}}},
	})
}

// componentStatuses are not stored: they are what the control plane says of itself.
func componentStatuses() *resource.Definition {
	d := kind.Virtual(kind.Names{Kind: "ComponentStatus", Resource: "componentstatuses", Short: []string{"cs"}, Cluster: true})
	d.ListKind, d.Verbs = "ComponentStatusList", []string{"get", "list"}
	return d
}

func nodeWarnings(n *core.Node) []string {
	var out []string
	if n.Spec.ConfigSource != nil {
		out = append(out, "spec.configSource: the feature is removed")
	}
	if n.Spec.DoNotUseExternalID != "" {
		out = append(out, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, cidr := range n.Spec.PodCIDRs {
		out = append(out, utilvalidation.GetWarningsForCIDR(field.NewPath("spec", "podCIDRs").Index(i), cidr)...)
	}
	return out
}

// bareSecretReferences keeps nothing but the names of an account's secrets.
func bareSecretReferences(a *corev1.ServiceAccount) {
	for i := range a.Secrets {
		a.Secrets[i] = corev1.ObjectReference{Name: a.Secrets[i].Name}
	}
}

func serviceAccountWarnings(_ context.Context, a, old *core.ServiceAccount) []string {
	const key = "kubernetes.io/enforce-mountable-secrets"
	if old != nil {
		if _, had := old.Annotations[key]; had {
			return nil
		}
	}
	if _, has := a.Annotations[key]; has {
		return []string{fmt.Sprintf("metadata.annotations[%s]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets", key)}
	}
	return nil
}

// quotaWarnings complains, on creation, of requests above their limits.
func quotaWarnings(_ context.Context, q, old *core.ResourceQuota) []string {
	if old != nil {
		return nil
	}
	var out []string
	for _, name := range []core.ResourceName{core.ResourceCPU, core.ResourceMemory, core.ResourceStorage, core.ResourceEphemeralStorage} {
		requests, limits := "requests."+name, "limits."+name
		request, ok := q.Spec.Hard[requests]
		if !ok && (name == core.ResourceCPU || name == core.ResourceMemory) {
			request, ok = q.Spec.Hard[name]
			requests = name
		}
		limit, limited := q.Spec.Hard[limits]
		if ok && limited && request.Cmp(limit) > 0 {
			out = append(out, fmt.Sprintf("ResourceQuota %s (%s) should be less than %s (%s)", requests, request.String(), limits, limit.String()))
		}
	}
	return out
}

func endpointsWarnings(_ context.Context, e, _ *core.Endpoints) []string {
	if e.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" {
		return nil
	}
	var out []string
	warn := func(path *field.Path, addresses []core.EndpointAddress) {
		for i, a := range addresses {
			out = append(out, utilvalidation.GetWarningsForIP(path.Index(i).Child("ip"), a.IP)...)
		}
	}
	for i, s := range e.Subsets {
		path := field.NewPath("subsets").Index(i)
		warn(path.Child("addresses"), s.Addresses)
		warn(path.Child("notReadyAddresses"), s.NotReadyAddresses)
	}
	return out
}
