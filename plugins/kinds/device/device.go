// Package device defines the kinds of the API group resource.k8s.io: devices
// and the claims on them (dynamic resource allocation).
package device

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
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	devicevalidation "k8s.io/kubernetes/pkg/apis/resource/validation"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds(clk clock.PassiveClock) []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: resourcev1.GroupName, Kind: "DeviceClass", Resource: "deviceclasses", Cluster: true}, kind.Rule[resourcev1.DeviceClass, device.DeviceClass]{
			Generation:     kind.BySpec,
			ReturnDeleted:  true,
			Validate:       devicevalidation.ValidateDeviceClass,
			ValidateUpdate: devicevalidation.ValidateDeviceClassUpdate,
		}),
		kind.Define(kind.Names{Group: resourcev1.GroupName, Kind: "DeviceTaintRule", Resource: "devicetaintrules", Cluster: true, Storage: "v1beta2"}, kind.Rule[resourcev1beta2.DeviceTaintRule, device.DeviceTaintRule]{
			Status:      kind.HasStatusOnly,
			Generation:  kind.BySpec,
			Conditional: true,
			// A taint whose effect changes begins anew.
			Update: func(_ context.Context, r, old *resourcev1beta2.DeviceTaintRule) {
				t, o := &r.Spec.Taint, &old.Spec.Taint
				if t.Effect != o.Effect && t.TimeAdded.Equal(o.TimeAdded) {
					t.TimeAdded = &metav1.Time{Time: clk.Now().Truncate(time.Second)}
				}
			},
			Validate:       devicevalidation.ValidateDeviceTaintRule,
			ValidateUpdate: devicevalidation.ValidateDeviceTaintRuleUpdate,
			ValidateStatus: devicevalidation.ValidateDeviceTaintRuleStatusUpdate,
		}),
		kind.Define(kind.Names{Group: resourcev1.GroupName, Kind: "ResourceClaim", Resource: "resourceclaims", NeedsImplementer: true}, kind.Rule[resourcev1.ResourceClaim, device.ResourceClaim]{
			Status:        kind.HasStatusOnly,
			ReturnDeleted: true,
			Internal: func(_ context.Context, c, old *device.ResourceClaim) {
				var oldSpec *device.ResourceClaimSpec
				if old != nil {
					oldSpec = &old.Spec
				}
				resourceclaimspec.DropDisabledFields(&c.Spec, oldSpec)
			},
			StatusInternal: func(c, old *device.ResourceClaim) {
				dropNodeOperations(c, old)
				forgetDeallocated(c, old)
			},
			Validate:       devicevalidation.ValidateResourceClaim,
			ValidateUpdate: devicevalidation.ValidateResourceClaimUpdate,
			ValidateStatus: devicevalidation.ValidateResourceClaimStatusUpdate,
			Declare: func(_, _ *device.ResourceClaim) kind.Declaration {
				return kind.Declaration{Rules: devicevalidation.ResourceNormalizationRules}
			},
		}),
		kind.Define(kind.Names{Group: resourcev1.GroupName, Kind: "ResourceClaimTemplate", Resource: "resourceclaimtemplates"}, kind.Rule[resourcev1.ResourceClaimTemplate, device.ResourceClaimTemplate]{
			ReturnDeleted: true,
			Internal: func(_ context.Context, t, old *device.ResourceClaimTemplate) {
				var oldSpec *device.ResourceClaimSpec
				if old != nil {
					oldSpec = &old.Spec.Spec
				}
				resourceclaimspec.DropDisabledFields(&t.Spec.Spec, oldSpec)
			},
			Validate:       devicevalidation.ValidateResourceClaimTemplate,
			ValidateUpdate: kind.Both(devicevalidation.ValidateResourceClaimTemplate, devicevalidation.ValidateResourceClaimTemplateUpdate),
			Declare: func(_, _ *device.ResourceClaimTemplate) kind.Declaration {
				return kind.Declaration{Rules: devicevalidation.ResourceNormalizationRules}
			},
		}),
		kind.Define(kind.Names{Group: resourcev1.GroupName, Kind: "ResourceSlice", Resource: "resourceslices", Cluster: true}, resourceSlices()),
	}
}

func resourceSlices() kind.Rule[resourcev1.ResourceSlice, device.ResourceSlice] {
	return kind.Rule[resourcev1.ResourceSlice, device.ResourceSlice]{
		Generation:     kind.BySpec,
		ReturnDeleted:  true,
		Internal:       dropSlice,
		Validate:       devicevalidation.ValidateResourceSlice,
		ValidateUpdate: devicevalidation.ValidateResourceSliceUpdate,
		Declare: func(_, _ *device.ResourceSlice) kind.Declaration {
			return kind.Declaration{Options: kind.Gates(features.DRAPartitionableDevicesType), Rules: devicevalidation.ResourceNormalizationRules}
		},
		Warn: func(_ context.Context, s, _ *device.ResourceSlice) []string {
			if s.Spec.Driver == strings.ToLower(s.Spec.Driver) {
				return nil
			}
			return []string{fmt.Sprintf("spec.driver: driver names should be lowercase; %q contains uppercase characters", s.Spec.Driver)}
		},
		Fields: []kind.Selectable[resourcev1.ResourceSlice]{
			{Label: resourcev1.ResourceSliceSelectorNodeName, Value: func(s *resourcev1.ResourceSlice) string { return ptr.Deref(s.Spec.NodeName, "") }},
			{Label: resourcev1.ResourceSliceSelectorDriver, Value: func(s *resourcev1.ResourceSlice) string { return s.Spec.Driver }},
			{Label: resourcev1.ResourceSliceSelectorPoolName, Value: func(s *resourcev1.ResourceSlice) string { return s.Spec.Pool.Name }},
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
	if !kind.Enabled(features.DRAPartitionableDevicesType) && (old == nil || old.Spec.PartitionTypeAttribute == nil) {
		s.Spec.PartitionTypeAttribute = nil
	}
	if !kind.Enabled(features.DRAOptionalNodeOperations) && (old == nil || len(old.Spec.SkipNodeOperations) == 0) {
		s.Spec.SkipNodeOperations = nil
	}
	if !kind.Enabled(features.DRADeviceCompatibilityGroups) && !anyDevice(func(d *device.Device) bool {
		return slices.ContainsFunc(d.ConsumesCounters, func(c device.DeviceCounterConsumption) bool { return len(c.CompatibilityGroups) > 0 })
	}) {
		each(func(d *device.Device) {
			for j := range d.ConsumesCounters {
				d.ConsumesCounters[j].CompatibilityGroups = nil
			}
		})
	}
	if !kind.Enabled(features.DRANodeAllocatableResources) && !anyDevice(func(d *device.Device) bool { return len(d.NodeAllocatableResources) > 0 }) {
		each(func(d *device.Device) { d.NodeAllocatableResources = nil })
	}
	if !kind.Enabled(features.DRAListTypeAttributes) && !anyDevice(func(d *device.Device) bool {
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
	if kind.Enabled(features.DRAOptionalNodeOperations) || uses(old) || !uses(c) {
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
