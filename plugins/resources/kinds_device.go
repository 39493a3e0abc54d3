package resources

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	resourcev1 "k8s.io/api/resource/v1"
	resourcev1beta2 "k8s.io/api/resource/v1beta2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/api/resourceclaimspec"
	device "k8s.io/kubernetes/pkg/apis/resource"
	devicevalidation "k8s.io/kubernetes/pkg/apis/resource/validation"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
)

func deviceKinds(opts Options) []*resource.Definition {
	return []*resource.Definition{
		define(names{group: resourcev1.GroupName, kind: "DeviceClass", resource: "deviceclasses", cluster: true}, rule[resourcev1.DeviceClass, device.DeviceClass]{
			generation:     bySpec,
			returnDeleted:  true,
			validate:       devicevalidation.ValidateDeviceClass,
			validateUpdate: devicevalidation.ValidateDeviceClassUpdate,
		}),
		define(names{group: resourcev1.GroupName, kind: "DeviceTaintRule", resource: "devicetaintrules", cluster: true, storage: "v1beta2"}, rule[resourcev1beta2.DeviceTaintRule, device.DeviceTaintRule]{
			status:      hasStatusOnly,
			generation:  bySpec,
			conditional: true,
			// A taint whose effect changes begins anew.
			update: func(_ context.Context, r, old *resourcev1beta2.DeviceTaintRule) {
				t, o := &r.Spec.Taint, &old.Spec.Taint
				if t.Effect != o.Effect && t.TimeAdded.Equal(o.TimeAdded) {
					t.TimeAdded = &metav1.Time{Time: opts.Clock.Now().Truncate(time.Second)}
				}
			},
			validate:       devicevalidation.ValidateDeviceTaintRule,
			validateUpdate: devicevalidation.ValidateDeviceTaintRuleUpdate,
			validateStatus: devicevalidation.ValidateDeviceTaintRuleStatusUpdate,
		}),
		define(names{group: resourcev1.GroupName, kind: "ResourceClaim", resource: "resourceclaims"}, rule[resourcev1.ResourceClaim, device.ResourceClaim]{
			status:        hasStatusOnly,
			returnDeleted: true,
			internal: func(_ context.Context, c, old *device.ResourceClaim) {
				var oldSpec *device.ResourceClaimSpec
				if old != nil {
					oldSpec = &old.Spec
				}
				resourceclaimspec.DropDisabledFields(&c.Spec, oldSpec)
			},
			statusInternal: func(c, old *device.ResourceClaim) {
				dropNodeOperations(c, old)
				forgetDeallocated(c, old)
			},
			validate:       devicevalidation.ValidateResourceClaim,
			validateUpdate: devicevalidation.ValidateResourceClaimUpdate,
			validateStatus: devicevalidation.ValidateResourceClaimStatusUpdate,
			declare: func(_, _ *device.ResourceClaim) declaration {
				return declaration{rules: devicevalidation.ResourceNormalizationRules}
			},
		}),
		define(names{group: resourcev1.GroupName, kind: "ResourceClaimTemplate", resource: "resourceclaimtemplates"}, rule[resourcev1.ResourceClaimTemplate, device.ResourceClaimTemplate]{
			returnDeleted: true,
			internal: func(_ context.Context, t, old *device.ResourceClaimTemplate) {
				var oldSpec *device.ResourceClaimSpec
				if old != nil {
					oldSpec = &old.Spec.Spec
				}
				resourceclaimspec.DropDisabledFields(&t.Spec.Spec, oldSpec)
			},
			validate:       devicevalidation.ValidateResourceClaimTemplate,
			validateUpdate: both(devicevalidation.ValidateResourceClaimTemplate, devicevalidation.ValidateResourceClaimTemplateUpdate),
			declare: func(_, _ *device.ResourceClaimTemplate) declaration {
				return declaration{rules: devicevalidation.ResourceNormalizationRules}
			},
		}),
		define(names{group: resourcev1.GroupName, kind: "ResourceSlice", resource: "resourceslices", cluster: true}, resourceSlices()),
	}
}

func resourceSlices() rule[resourcev1.ResourceSlice, device.ResourceSlice] {
	return rule[resourcev1.ResourceSlice, device.ResourceSlice]{
		generation:     bySpec,
		returnDeleted:  true,
		internal:       dropSlice,
		validate:       devicevalidation.ValidateResourceSlice,
		validateUpdate: devicevalidation.ValidateResourceSliceUpdate,
		declare: func(_, _ *device.ResourceSlice) declaration {
			return declaration{options: gates(features.DRAPartitionableDevicesType), rules: devicevalidation.ResourceNormalizationRules}
		},
		warn: func(_ context.Context, s, _ *device.ResourceSlice) []string {
			if s.Spec.Driver == strings.ToLower(s.Spec.Driver) {
				return nil
			}
			return []string{fmt.Sprintf("spec.driver: driver names should be lowercase; %q contains uppercase characters", s.Spec.Driver)}
		},
		fields: []selectable[resourcev1.ResourceSlice]{
			{resourcev1.ResourceSliceSelectorNodeName, func(s *resourcev1.ResourceSlice) string { return ptr.Deref(s.Spec.NodeName, "") }},
			{resourcev1.ResourceSliceSelectorDriver, func(s *resourcev1.ResourceSlice) string { return s.Spec.Driver }},
			{resourcev1.ResourceSliceSelectorPoolName, func(s *resourcev1.ResourceSlice) string { return s.Spec.Pool.Name }},
		},
	}
}

// dropSlice clears the fields of features that are off, unless the old slice
// uses the same feature.
func dropSlice(_ context.Context, s, old *device.ResourceSlice) {
	anyDevice := func(uses func(*device.Device) bool) bool {
		if old == nil {
			return false
		}
		for i := range old.Spec.Devices {
			if uses(&old.Spec.Devices[i]) {
				return true
			}
		}
		return false
	}
	each := func(clear func(*device.Device)) {
		for i := range s.Spec.Devices {
			clear(&s.Spec.Devices[i])
		}
	}
	if !enabled(features.DRAPartitionableDevicesType) && (old == nil || old.Spec.PartitionTypeAttribute == nil) {
		s.Spec.PartitionTypeAttribute = nil
	}
	if !enabled(features.DRAOptionalNodeOperations) && (old == nil || len(old.Spec.SkipNodeOperations) == 0) {
		s.Spec.SkipNodeOperations = nil
	}
	if !enabled(features.DRADeviceCompatibilityGroups) && !anyDevice(func(d *device.Device) bool {
		return slices.ContainsFunc(d.ConsumesCounters, func(c device.DeviceCounterConsumption) bool { return len(c.CompatibilityGroups) > 0 })
	}) {
		each(func(d *device.Device) {
			for j := range d.ConsumesCounters {
				d.ConsumesCounters[j].CompatibilityGroups = nil
			}
		})
	}
	if !enabled(features.DRANodeAllocatableResources) && !anyDevice(func(d *device.Device) bool { return len(d.NodeAllocatableResources) > 0 }) {
		each(func(d *device.Device) { d.NodeAllocatableResources = nil })
	}
	if !enabled(features.DRAListTypeAttributes) && !anyDevice(func(d *device.Device) bool {
		for _, a := range d.Attributes {
			if hasList(a) {
				return true
			}
		}
		return false
	}) {
		each(func(d *device.Device) {
			for k, a := range d.Attributes {
				if hasList(a) {
					a.BoolValues, a.IntValues, a.StringValues, a.VersionValues = nil, nil, nil, nil
					d.Attributes[k] = a
				}
			}
		})
	}
}

func hasList(a device.DeviceAttribute) bool {
	return a.BoolValues != nil || a.IntValues != nil || a.StringValues != nil || a.VersionValues != nil
}

func dropNodeOperations(c, old *device.ResourceClaim) {
	uses := func(c *device.ResourceClaim) bool {
		return c.Status.Allocation != nil && slices.ContainsFunc(c.Status.Allocation.Devices.Results,
			func(r device.DeviceRequestAllocationResult) bool { return len(r.SkipNodeOperations) > 0 })
	}
	if enabled(features.DRAOptionalNodeOperations) || uses(old) || !uses(c) {
		return
	}
	results := slices.Clone(c.Status.Allocation.Devices.Results)
	for i := range results {
		results[i].SkipNodeOperations = nil
	}
	c.Status.Allocation.Devices.Results = results
}

// forgetDeallocated removes the status of devices that the claim held before
// and holds no longer.
func forgetDeallocated(c, old *device.ResourceClaim) {
	if len(c.Status.Devices) == 0 {
		return
	}
	type id struct{ driver, pool, device, share string }
	gone := map[id]bool{}
	each := func(c *device.ResourceClaim, fn func(id)) {
		if c.Status.Allocation == nil {
			return
		}
		for _, r := range c.Status.Allocation.Devices.Results {
			fn(id{r.Driver, r.Pool, r.Device, string(ptr.Deref(r.ShareID, ""))})
		}
	}
	each(old, func(i id) { gone[i] = true })
	each(c, func(i id) { delete(gone, i) })
	var kept []device.AllocatedDeviceStatus
	for _, d := range c.Status.Devices {
		if !gone[id{d.Driver, d.Pool, d.Device, string(ptr.Deref(d.ShareID, ""))}] {
			kept = append(kept, d)
		}
	}
	c.Status.Devices = kept
}
