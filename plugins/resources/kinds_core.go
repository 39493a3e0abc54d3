package resources

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
)

func coreKinds(opts Options) []*resource.Definition {
	return []*resource.Definition{
		define(names{kind: "ConfigMap", resource: "configmaps", short: []string{"cm"}}, rule[corev1.ConfigMap, core.ConfigMap]{
			validate:       validation.ValidateConfigMap,
			validateUpdate: validation.ValidateConfigMapUpdate,
		}),
		define(names{kind: "Endpoints", resource: "endpoints", short: []string{"ep"}, prefix: "services/endpoints"}, rule[corev1.Endpoints, core.Endpoints]{
			createOnUpdate: true,
			validate:       validation.ValidateEndpointsCreate,
			validateUpdate: validation.ValidateEndpointsUpdate,
			warn:           endpointsWarnings,
		}),
		define(names{kind: "Event", resource: "events", short: []string{"ev"}}, eventRule(corev1.SchemeGroupVersion)),
		define(names{group: "events.k8s.io", kind: "Event", resource: "events", short: []string{"ev"},
			storedAs: &schema.GroupResource{Resource: "events"}}, newEventRule()),
		define(names{kind: "LimitRange", resource: "limitranges", short: []string{"limits"}}, rule[corev1.LimitRange, core.LimitRange]{
			createOnUpdate: true,
			create: func(_ context.Context, l *corev1.LimitRange) {
				if l.Name == "" {
					l.Name = string(uuid.NewUUID())
				}
			},
			validate: validation.ValidateLimitRange,
		}),
		namespaces(),
		nodes(),
		define(names{kind: "PersistentVolume", resource: "persistentvolumes", short: []string{"pv"}, cluster: true}, persistentVolumes(opts)),
		define(names{kind: "PersistentVolumeClaim", resource: "persistentvolumeclaims", short: []string{"pvc"}}, persistentVolumeClaims()),
		define(names{kind: "PodTemplate", resource: "podtemplates"}, rule[corev1.PodTemplate, core.PodTemplate]{
			generation:    bySpec,
			returnDeleted: true,
			internal: func(_ context.Context, t, old *core.PodTemplate) {
				podutil.DropDisabledTemplateFields(&t.Template, templateOf(old, func(o *core.PodTemplate) *core.PodTemplateSpec { return &o.Template }))
			},
			validate: func(t *core.PodTemplate) field.ErrorList {
				return validation.ValidatePodTemplate(t, podutil.GetValidationOptionsFromPodTemplate(&t.Template, nil))
			},
			validateUpdate: func(t, old *core.PodTemplate) field.ErrorList {
				return validation.ValidatePodTemplateUpdate(t, old, podutil.GetValidationOptionsFromPodTemplate(&t.Template, &old.Template))
			},
			warn: func(ctx context.Context, t, old *core.PodTemplate) []string {
				return templateWarnings(ctx, field.NewPath("template"), t, old, func(o *core.PodTemplate) *core.PodTemplateSpec { return &o.Template })
			},
		}),
		define(names{kind: "ResourceQuota", resource: "resourcequotas", short: []string{"quota"}}, rule[corev1.ResourceQuota, core.ResourceQuota]{
			status:         hasStatus,
			returnDeleted:  true,
			validate:       validation.ValidateResourceQuota,
			validateUpdate: validation.ValidateResourceQuotaUpdate,
			validateStatus: validation.ValidateResourceQuotaStatusUpdate,
			warn:           quotaWarnings,
		}),
		define(names{kind: "Secret", resource: "secrets"}, rule[corev1.Secret, core.Secret]{
			update: func(_ context.Context, s, old *corev1.Secret) {
				if s.Type == "" {
					s.Type = old.Type
				}
			},
			validate:       validation.ValidateSecret,
			validateUpdate: validation.ValidateSecretUpdate,
			warn: func(_ context.Context, s, _ *core.Secret) []string {
				if s.Type != core.SecretTypeTLS {
					return nil
				}
				if _, err := tls.X509KeyPair(s.Data[core.TLSCertKey], s.Data[core.TLSPrivateKeyKey]); err != nil {
					return []string{err.Error()}
				}
				return nil
			},
			fields: []selectable[corev1.Secret]{{"type", func(s *corev1.Secret) string { return string(s.Type) }}},
		}),
		define(names{kind: "ServiceAccount", resource: "serviceaccounts", short: []string{"sa"}}, rule[corev1.ServiceAccount, core.ServiceAccount]{
			returnDeleted:  true,
			create:         func(_ context.Context, a *corev1.ServiceAccount) { bareSecretReferences(a) },
			update:         func(_ context.Context, a, _ *corev1.ServiceAccount) { bareSecretReferences(a) },
			validate:       validation.ValidateServiceAccount,
			validateUpdate: validation.ValidateServiceAccountUpdate,
			warn:           serviceAccountWarnings,
			subresources: []resource.Subresource{{Name: "token", Style: resource.StyleAction, Verbs: createVerbs,
				Kind: schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenRequest"}}},
		}),
		bindings(),
	}
}

func persistentVolumes(opts Options) rule[corev1.PersistentVolume, core.PersistentVolume] {
	now := func() *metav1.Time { return &metav1.Time{Time: opts.Clock.Now()} }
	return rule[corev1.PersistentVolume, core.PersistentVolume]{
		status:        hasStatus,
		returnDeleted: true,
		create: func(_ context.Context, v *corev1.PersistentVolume) {
			v.Status.Phase, v.Status.LastPhaseTransitionTime = corev1.VolumePending, now()
		},
		internal: func(_ context.Context, v, old *core.PersistentVolume) {
			var oldSpec *core.PersistentVolumeSpec
			if old != nil {
				oldSpec = &old.Spec
			}
			pvutil.DropDisabledSpecFields(&v.Spec, oldSpec)
		},
		// The transition time follows the phase unless the client set it.
		statusUpdate: func(_ context.Context, v, old *corev1.PersistentVolume) {
			s, o := &v.Status, &old.Status
			switch {
			case s.Phase == o.Phase && s.LastPhaseTransitionTime == nil:
				s.LastPhaseTransitionTime = o.LastPhaseTransitionTime
			case s.Phase != o.Phase && (s.LastPhaseTransitionTime == nil || s.LastPhaseTransitionTime.Equal(o.LastPhaseTransitionTime)):
				s.LastPhaseTransitionTime = now()
			}
		},
		validate: func(v *core.PersistentVolume) field.ErrorList {
			return append(validation.ValidatePersistentVolume(v, validation.ValidationOptionsForPersistentVolume(v, nil)), volumevalidation.ValidatePersistentVolume(v)...)
		},
		validateUpdate: func(v, old *core.PersistentVolume) field.ErrorList {
			o := validation.ValidationOptionsForPersistentVolume(v, old)
			errs := append(validation.ValidatePersistentVolume(v, o), volumevalidation.ValidatePersistentVolume(v)...)
			return append(errs, validation.ValidatePersistentVolumeUpdate(v, old, o)...)
		},
		validateStatus: validation.ValidatePersistentVolumeStatusUpdate,
		warn: func(_ context.Context, v, _ *core.PersistentVolume) []string {
			return pvutil.GetWarningsForPersistentVolume(v)
		},
	}
}

func persistentVolumeClaims() rule[corev1.PersistentVolumeClaim, core.PersistentVolumeClaim] {
	return rule[corev1.PersistentVolumeClaim, core.PersistentVolumeClaim]{
		status:        hasStatus,
		create:        func(_ context.Context, c *corev1.PersistentVolumeClaim) { c.Status.Phase = corev1.ClaimPending },
		returnDeleted: true,
		internal: func(_ context.Context, c, old *core.PersistentVolumeClaim) {
			var oldSpec *core.PersistentVolumeClaimSpec
			if old != nil {
				oldSpec = &old.Spec
			}
			pvcutil.DropDisabledFields(&c.Spec, oldSpec)
			pvcutil.EnforceDataSourceBackwardsCompatibility(&c.Spec, oldSpec)
			pvcutil.NormalizeDataSources(&c.Spec)
		},
		statusInternal: pvcutil.DropDisabledFieldsFromStatus,
		validate: func(c *core.PersistentVolumeClaim) field.ErrorList {
			return validation.ValidatePersistentVolumeClaim(c, validation.ValidationOptionsForPersistentVolumeClaim(c, nil))
		},
		validateUpdate: func(c, old *core.PersistentVolumeClaim) field.ErrorList {
			old = old.DeepCopy() // normalising must not reach the cache
			pvcutil.NormalizeDataSources(&old.Spec)
			return validation.ValidatePersistentVolumeClaimUpdate(c, old, validation.ValidationOptionsForPersistentVolumeClaim(c, old))
		},
		validateStatus: func(c, old *core.PersistentVolumeClaim) field.ErrorList {
			return validation.ValidatePersistentVolumeClaimStatusUpdate(c, old, validation.ValidationOptionsForPersistentVolumeClaim(c, old))
		},
		warn: func(_ context.Context, c, _ *core.PersistentVolumeClaim) []string {
			return pvcutil.GetWarningsForPersistentVolumeClaim(c)
		},
	}
}

func nodes() *resource.Definition {
	return define(names{kind: "Node", resource: "nodes", short: []string{"no"}, cluster: true, prefix: "minions"}, rule[corev1.Node, core.Node]{
		status: freeOnCreation,
		create: func(_ context.Context, n *corev1.Node) { n.Spec.ConfigSource, n.Status.Config = nil, nil },
		update: func(_ context.Context, n, old *corev1.Node) {
			if old.Spec.ConfigSource == nil {
				n.Spec.ConfigSource = nil
			}
		},
		internal: func(_ context.Context, n, old *core.Node) {
			if !enabled(features.InPlacePodVerticalScalingSchedulerPreemption) && (old == nil || old.Spec.PodPreemptionPolicy == nil) {
				n.Spec.PodPreemptionPolicy = nil
			}
		},
		statusUpdate: func(_ context.Context, n, old *corev1.Node) {
			if old.Status.Config == nil {
				n.Status.Config = nil
			}
		},
		validate:       validation.ValidateNode,
		validateUpdate: both(validation.ValidateNode, validation.ValidateNodeUpdate),
		validateStatus: validation.ValidateNodeUpdate,
		declare: func(_, _ *core.Node) declaration {
			return declaration{options: gates(features.InPlacePodVerticalScalingSchedulerPreemption)}
		},
		warn: func(_ context.Context, n, _ *core.Node) []string { return nodeWarnings(n) },
		fields: []selectable[corev1.Node]{
			{"spec.unschedulable", func(n *corev1.Node) string { return strconv.FormatBool(n.Spec.Unschedulable) }},
		},
		subresources: []resource.Subresource{{Name: "proxy", Style: resource.StyleConnect, Verbs: proxyVerbs,
			Kind: corev1.SchemeGroupVersion.WithKind("NodeProxyOptions"), Connect: connectNodeProxy,
			Options: func(path string, _ map[string][]string) (runtime.Object, error) {
				return &corev1.NodeProxyOptions{Path: path}, nil
			}}},
	})
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
