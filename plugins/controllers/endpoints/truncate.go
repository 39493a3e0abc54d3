package endpoints

import (
	"slices"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// maxCapacity is how many addresses Endpoints hold at most.
const maxCapacity = 1000

// truncate leaves as many addresses as Endpoints hold, those that are ready first,
// of each subset in proportion; over tells that there were more. The subsets are
// the caller's, and changed.
func truncate(subsets []corev1.EndpointSubset) (left []corev1.EndpointSubset, over bool) {
	ready, others := 0, 0
	for _, s := range subsets {
		ready, others = ready+len(s.Addresses), others+len(s.NotReadyAddresses)
	}
	if ready+others <= maxCapacity {
		return subsets, false
	}
	room, total := maxCapacity-ready, others
	if ready > maxCapacity {
		room, total = maxCapacity, ready
	}
	free := room
	for i := range subsets {
		list := &subsets[i].NotReadyAddresses
		if ready > maxCapacity {
			subsets[i].NotReadyAddresses = nil
			list = &subsets[i].Addresses
		}
		share := (len(*list)*room + total - 1) / total // rounded up: the last subsets get less
		n := min(len(*list), share, free)
		*list, free = (*list)[:n], free-n
		if n == 0 {
			*list = nil // as it is read again, or it would be written each time
		}
	}
	return slices.DeleteFunc(subsets, func(s corev1.EndpointSubset) bool { return len(s.Addresses)+len(s.NotReadyAddresses) == 0 }), true
}
