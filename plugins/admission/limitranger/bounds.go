package limitranger

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

// amount is a quantity that may not be there.
type amount struct {
	resource.Quantity
	there bool
}

func of(list corev1.ResourceList, name corev1.ResourceName) amount {
	q, ok := list[name]
	return amount{q, ok}
}

// checkUse holds the requests and limits of a container, or of a pod, against all
// bounds of an item.
func checkUse(l *corev1.LimitRangeItem, requests, limits corev1.ResourceList) (faults []string) {
	for _, bound := range []struct {
		list  corev1.ResourceList
		check func(what corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, request, limit amount) string
	}{{l.Min, atLeast}, {l.Max, atMost}, {l.MaxLimitRequestRatio, ratio}} {
		for _, name := range slices.Sorted(maps.Keys(bound.list)) {
			if f := bound.check(l.Type, name, bound.list[name], of(requests, name), of(limits, name)); f != "" {
				faults = append(faults, f)
			}
		}
	}
	return faults
}

// checkClaim holds what a claim requests against the bounds of an item.
func checkClaim(l *corev1.LimitRangeItem, requests corev1.ResourceList) (faults []string) {
	for _, name := range slices.Sorted(maps.Keys(l.Min)) {
		if f := atLeast(l.Type, name, l.Min[name], of(requests, name), amount{}); f != "" {
			faults = append(faults, f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Max)) {
		if f := requestAtMost(l.Type, name, l.Max[name], of(requests, name)); f != "" {
			faults = append(faults, f)
		}
	}
	return faults
}

func atLeast(what corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, request, limit amount) string {
	switch least := fmt.Sprintf("minimum %s usage per %s is %s", name, what, bound); {
	case !request.there:
		return least + ".  No request is specified"
	case less(request, bound):
		return fmt.Sprintf("%s, but request is %s", least, request.Quantity)
	case limit.there && less(limit, bound):
		return fmt.Sprintf("%s, but limit is %s", least, limit.Quantity)
	}
	return ""
}

func atMost(what corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, request, limit amount) string {
	switch {
	case !limit.there:
		return maximum(what, name, bound) + ".  No limit is specified"
	case more(limit, bound):
		return fmt.Sprintf("%s, but limit is %s", maximum(what, name, bound), limit.Quantity)
	case request.there:
		return requestAtMost(what, name, bound, request)
	}
	return ""
}

// requestAtMost is for what knows no limits.
func requestAtMost(what corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, request amount) string {
	switch {
	case !request.there:
		return maximum(what, name, bound) + ".  No request is specified"
	case more(request, bound):
		return fmt.Sprintf("%s, but request is %s", maximum(what, name, bound), request.Quantity)
	}
	return ""
}

func maximum(what corev1.LimitType, name corev1.ResourceName, bound resource.Quantity) string {
	return fmt.Sprintf("maximum %s usage per %s is %s", name, what, bound)
}

// ratio bounds the limit as a multiple of the request.
func ratio(what corev1.LimitType, name corev1.ResourceName, bound resource.Quantity, request, limit amount) string {
	most := fmt.Sprintf("%s max limit to request ratio per %s is %s", name, what, bound)
	if request.IsZero() {
		return most + ", but no request is specified or request is 0"
	}
	if limit.IsZero() {
		return most + ", but no limit is specified or limit is 0"
	}
	unit := resource.Quantity.MilliValue
	if max(request.Value(), limit.Value(), bound.Value()) > maxMilli {
		unit = resource.Quantity.Value
	}
	if got := float64(unit(limit.Quantity)) / float64(unit(request.Quantity)); got*1000 > float64(bound.MilliValue()) {
		return fmt.Sprintf("%s, but provided ratio is %f", most, got)
	}
	return ""
}

// maxMilli is the largest amount that has an exact value in thousandths.
const maxMilli = math.MaxInt64 / 1000

// compare compares to thousandths where both amounts allow it, else to whole ones.
func compare(a, b resource.Quantity) int {
	if max(a.Value(), b.Value()) > maxMilli {
		return cmp.Compare(a.Value(), b.Value())
	}
	return cmp.Compare(a.MilliValue(), b.MilliValue())
}

func less(a amount, bound resource.Quantity) bool { return compare(a.Quantity, bound) < 0 }
func more(a amount, bound resource.Quantity) bool { return compare(a.Quantity, bound) > 0 }
