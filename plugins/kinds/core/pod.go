package core

import (
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/warning"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/helper/qos"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/features"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
	"github.com/pintle-io/pintle/plugins/kinds/podtemplate"
)

func podKinds(opts Options) []*resource.Definition {
	return []*resource.Definition{kind.Define(kind.Names{Kind: "Pod", Resource: "pods", NeedsImplementer: true, Short: []string{"po"}, Categories: kind.All}, kind.Rule[corev1.Pod, core.Pod]{
		Status:         kind.HasStatus,
		Generation:     kind.BySpec,
		ReturnDeleted:  true,
		Internal:       preparePod,
		StatusUpdate:   preparePodStatus,
		StatusResets:   []fieldpath.Path{kind.Path("metadata", "deletionTimestamp"), kind.Path("metadata", "ownerReferences")},
		StatusInternal: podutil.DropDisabledPodFields,
		Validate: func(p *core.Pod) field.ErrorList {
			return validation.ValidatePodCreate(p, podOptions(p, nil))
		},
		ValidateUpdate: func(p, old *core.Pod) field.ErrorList {
			return validation.ValidatePodUpdate(p, old, podOptions(p, old))
		},
		ValidateStatus: func(p, old *core.Pod) field.ErrorList {
			return validation.ValidatePodStatusUpdate(p, old, podOptions(p, old))
		},
		Warn: func(ctx context.Context, p, old *core.Pod) []string {
			if old != nil {
				return nil
			}
			return append(podtemplate.NameWarning(p.Name, "this is used in the Pod's hostname"), podutil.GetWarningsForPod(ctx, p, nil)...)
		},
		Fields: []kind.Selectable[corev1.Pod]{
			{Label: "spec.nodeName", Value: func(p *corev1.Pod) string { return p.Spec.NodeName }},
			{Label: "spec.restartPolicy", Value: func(p *corev1.Pod) string { return string(p.Spec.RestartPolicy) }},
			{Label: "spec.schedulerName", Value: func(p *corev1.Pod) string { return p.Spec.SchedulerName }},
			{Label: "spec.serviceAccountName", Value: func(p *corev1.Pod) string { return p.Spec.ServiceAccountName }},
			{Label: "spec.hostNetwork", Value: func(p *corev1.Pod) string { return strconv.FormatBool(p.Spec.HostNetwork) }},
			{Label: "status.phase", Value: func(p *corev1.Pod) string { return string(p.Status.Phase) }},
			{Label: "status.podIP", Value: podIP},
			{Label: "status.nominatedNodeName", Value: func(p *corev1.Pod) string { return p.Status.NominatedNodeName }},
		},
		Subresources: append(podConnections(), binding(), eviction(opts.Clock),
			kind.Part[corev1.Pod]("ephemeralcontainers", kind.UpdateVerbs, storedEphemeralContainers, onlyEphemeralContainers, func(p, old *core.Pod) field.ErrorList {
				return validation.ValidatePodEphemeralContainersUpdate(p, old, podOptions(p, old))
			}),
			kind.Part[corev1.Pod]("resize", kind.UpdateVerbs, storedResources, onlyResources, func(p, old *core.Pod) field.ErrorList {
				return validation.ValidatePodResize(p, old, podOptions(p, old))
			})),
		Finish: func(s *resource.Strategy) { s.GracePeriod = podGracePeriod },
	})}
}

// What ephemeralcontainers and resize store, in terms of fields.
var (
	storedEphemeralContainers = fieldpath.NewIncludeMatcherFilter(fieldpath.MakePrefixMatcherOrDie("spec", "ephemeralContainers"))
	storedResources           = fieldpath.NewIncludeMatcherFilter(
		fieldpath.MakePrefixMatcherOrDie("spec", "containers", fieldpath.MatchAnyPathElement(), "resources"),
		fieldpath.MakePrefixMatcherOrDie("spec", "containers", fieldpath.MatchAnyPathElement(), "resizePolicy"),
		fieldpath.MakePrefixMatcherOrDie("spec", "initContainers", fieldpath.MatchAnyPathElement(), "resources"),
		fieldpath.MakePrefixMatcherOrDie("spec", "initContainers", fieldpath.MatchAnyPathElement(), "resizePolicy"),
	)
)

func podIP(p *corev1.Pod) string {
	if len(p.Status.PodIPs) > 0 {
		return p.Status.PodIPs[0].IP
	}
	return ""
}

// podOptions are the parameters of validation; what an old pod had already is
// tolerated.
func podOptions(p, old *core.Pod) validation.PodValidationOptions {
	var o validation.PodValidationOptions
	if old == nil {
		o = podutil.GetValidationOptionsFromPodSpecAndMeta(&p.Spec, nil, &p.ObjectMeta, nil)
	} else {
		o = podutil.GetValidationOptionsFromPodSpecAndMeta(&p.Spec, &old.Spec, &p.ObjectMeta, &old.ObjectMeta)
	}
	o.ResourceIsPod = true
	return o
}

func preparePod(ctx context.Context, p, old *core.Pod) {
	if old != nil {
		if kind.Enabled(features.PodLevelResourcesFixDefaulting) && p.Spec.Resources == nil && old.Spec.Resources != nil {
			p.Spec.Resources = old.Spec.Resources.DeepCopy()
		}
		podutil.DropDisabledPodFields(p, old)
		return
	}
	p.Status.Phase = core.PodPending
	podutil.DropDisabledPodFields(p, nil)
	if len(p.Spec.SchedulingGates) > 0 {
		podutil.UpdatePodCondition(&p.Status, &core.PodCondition{
			Type: core.PodScheduled, Status: core.ConditionFalse, Reason: corev1.PodReasonSchedulingGated,
			Message: "Scheduling is blocked due to non-empty scheduling gates",
		})
	}
	mergeLabelKeys(p)
	appArmorFromAnnotations(ctx, p)
	podutil.DefaultPodLevelResources(p)
	p.Status.QOSClass = qos.GetPodQOS(p)
}

// mergeLabelKeys writes the values that matchLabelKeys stand for into the
// selectors beside them.
func mergeLabelKeys(p *core.Pod) {
	merge := func(sel *metav1.LabelSelector, op metav1.LabelSelectorOperator, keys []string) {
		if sel == nil {
			return
		}
		for _, k := range keys {
			if v, ok := p.Labels[k]; ok {
				sel.MatchExpressions = append(sel.MatchExpressions, metav1.LabelSelectorRequirement{Key: k, Operator: op, Values: []string{v}})
			}
		}
	}
	terms := func(required []core.PodAffinityTerm, preferred []core.WeightedPodAffinityTerm) {
		each := func(t *core.PodAffinityTerm) {
			merge(t.LabelSelector, metav1.LabelSelectorOpIn, t.MatchLabelKeys)
			merge(t.LabelSelector, metav1.LabelSelectorOpNotIn, t.MismatchLabelKeys)
		}
		for i := range preferred {
			each(&preferred[i].PodAffinityTerm)
		}
		for i := range required {
			each(&required[i])
		}
	}
	if a := p.Spec.Affinity; a != nil {
		if a.PodAffinity != nil {
			terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
		if a.PodAntiAffinity != nil {
			terms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
		}
	}
	if kind.Enabled(features.MatchLabelKeysInPodTopologySpreadSelectorMerge) {
		for i := range p.Spec.TopologySpreadConstraints {
			c := &p.Spec.TopologySpreadConstraints[i]
			merge(c.LabelSelector, metav1.LabelSelectorOpIn, c.MatchLabelKeys)
		}
	}
}

// appArmorFromAnnotations turns the annotations of older clients into the
// field that replaced them.
func appArmorFromAnnotations(ctx context.Context, p *core.Pod) {
	if len(p.Annotations) == 0 || p.Spec.OS != nil && p.Spec.OS.Name == core.Windows {
		return
	}
	var ofPod *core.AppArmorProfile
	if p.Spec.SecurityContext != nil {
		ofPod = p.Spec.SecurityContext.AppArmorProfile
	}
	podutil.VisitContainers(&p.Spec, podutil.AllFeatureEnabledContainers(), func(c *core.Container, _ podutil.ContainerType) bool {
		key := core.DeprecatedAppArmorAnnotationKeyPrefix + c.Name
		annotation, ok := p.Annotations[key]
		if !ok || c.SecurityContext != nil && c.SecurityContext.AppArmorProfile != nil {
			return true
		}
		profile := podutil.ApparmorFieldForAnnotation(annotation)
		if len(validation.ValidateAppArmorProfileField(profile, &field.Path{})) > 0 {
			profile = nil
		}
		deprecated := profile == nil
		if profile != nil && !equality.Semantic.DeepEqual(profile, ofPod) {
			if c.SecurityContext == nil {
				c.SecurityContext = &core.SecurityContext{}
			}
			c.SecurityContext.AppArmorProfile = profile
			deprecated = true
		}
		if deprecated {
			warning.AddWarning(ctx, "", fmt.Sprintf(`%s: deprecated since v1.30; use the "appArmorProfile" field instead`, field.NewPath("metadata", "annotations").Key(key)))
		}
		return true
	})
}

// preparePodStatus keeps what a node agent of an older version would lose.
func preparePodStatus(_ context.Context, p, old *corev1.Pod) {
	p.DeletionTimestamp = old.DeletionTimestamp
	p.OwnerReferences = old.OwnerReferences
	s, o := &p.Status, &old.Status
	if s.QOSClass == "" {
		s.QOSClass = o.QOSClass
	}
	if s.ResourceClaimStatuses == nil {
		s.ResourceClaimStatuses = o.ResourceClaimStatuses
	}
	if s.ExtendedResourceClaimStatus == nil {
		s.ExtendedResourceClaimStatus = o.ExtendedResourceClaimStatus
	}
	if s.NodeAllocatableResourceClaimStatuses == nil {
		s.NodeAllocatableResourceClaimStatuses = o.NodeAllocatableResourceClaimStatuses
	}
	if s.ObservedGeneration == 0 {
		s.ObservedGeneration = o.ObservedGeneration
	}
	// Conditions of one type are matched in order.
	seen := map[corev1.PodConditionType]int{}
	for i := range s.Conditions {
		c := &s.Conditions[i]
		n := seen[c.Type]
		seen[c.Type]++
		if c.ObservedGeneration == 0 {
			c.ObservedGeneration = observedGeneration(o.Conditions, c.Type, n)
		}
	}
}

// observedGeneration of the nth condition of a type; 0 if there is none.
func observedGeneration(conditions []corev1.PodCondition, t corev1.PodConditionType, n int) int64 {
	for i := range conditions {
		if conditions[i].Type != t {
			continue
		}
		if n == 0 {
			return conditions[i].ObservedGeneration
		}
		n--
	}
	return 0
}

// podGracePeriod: a pod that runs nowhere goes at once; any other stays until
// its node agent confirms.
func podGracePeriod(obj runtime.Object, o *metav1.DeleteOptions) (int64, bool) {
	if o == nil {
		return 0, false
	}
	p := kind.Hub[corev1.Pod](obj)
	var period int64
	switch {
	case p.Spec.NodeName == "", p.Status.Phase == corev1.PodFailed, p.Status.Phase == corev1.PodSucceeded:
	case o.GracePeriodSeconds != nil:
		period = *o.GracePeriodSeconds
	case p.Spec.TerminationGracePeriodSeconds != nil:
		period = *p.Spec.TerminationGracePeriodSeconds
	}
	if period < 0 {
		period = 1
	}
	return period, period > 0
}

// onlyEphemeralContainers keeps nothing of an update but these.
func onlyEphemeralContainers(p, old *core.Pod) {
	containers := p.Spec.EphemeralContainers
	restorePod(p, old)
	p.Spec.EphemeralContainers = containers
	finishPart(p, old)
}

// onlyResources keeps nothing of an update but resources and resize policies.
// A list of other containers is left for validation to refuse.
func onlyResources(p, old *core.Pod) {
	same := sameContainers(p.Spec.Containers, old.Spec.Containers) && sameContainers(p.Spec.InitContainers, old.Spec.InitContainers)
	if same {
		resources := p.Spec.Resources
		containers := withResources(old.Spec.Containers, p.Spec.Containers)
		inits := withResources(old.Spec.InitContainers, p.Spec.InitContainers)
		volumes := p.Spec.Volumes
		restorePod(p, old)
		p.Spec.Containers, p.Spec.InitContainers = containers, inits
		if kind.Enabled(features.InPlacePodLevelResourcesVerticalScaling) {
			p.Spec.Resources = resources
		}
		if kind.Enabled(features.InPlacePodVerticalScalingMemoryBackedVolumes) {
			p.Spec.Volumes = volumes
		}
	}
	if kind.Enabled(features.PodLevelResourcesFixDefaulting) {
		if p.Spec.Resources == nil && old.Spec.Resources != nil {
			p.Spec.Resources = old.Spec.Resources.DeepCopy()
		}
		if p.Spec.Resources != nil {
			podutil.DefaultPodLevelResources(p)
		}
	}
	finishPart(p, old)
}

func sameContainers(a, b []core.Container) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name {
			return false
		}
	}
	return true
}

// withResources are the old containers with what a resize may change.
func withResources(old, sent []core.Container) []core.Container {
	if len(old) == 0 {
		return old
	}
	out := make([]core.Container, len(old))
	for i := range old {
		out[i] = old[i]
		out[i].Resources, out[i].ResizePolicy = sent[i].Resources, sent[i].ResizePolicy
	}
	return out
}

func restorePod(p, old *core.Pod) {
	p.Spec, p.Status = old.Spec, old.Status
	metav1.ResetObjectMetaForStatus(&p.ObjectMeta, &old.ObjectMeta)
}

func finishPart(p, old *core.Pod) {
	podutil.DropDisabledPodFields(p, old)
	p.Generation = old.Generation
	if !equality.Semantic.DeepEqual(p.Spec, old.Spec) {
		p.Generation++
	}
}
