package replicas

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

const deletionCost = "controller.kubernetes.io/pod-deletion-cost"

// choose picks the n pods to delete first, in upstream's order: unassigned
// before assigned, pending before running, not ready before ready, low
// deletion cost before high, crowded nodes before others, ready for a shorter
// time before longer, more restarts before fewer (those of sidecars when the
// others are equal), younger before older. Times count by their magnitude, so
// that among pods of about one age chance (the uid) decides.
func choose(pods []*pod, crowd map[string]int, n int, now time.Time) []*pod {
	order := slices.Clone(pods)
	slices.SortStableFunc(order, func(a, b *pod) int {
		readyA, okA := a.readySince()
		readyB, okB := b.readySince()
		return cmp.Or(
			first(a.Spec.NodeName == "", b.Spec.NodeName == ""),
			cmp.Compare(phaseRank(a), phaseRank(b)),
			first(!okA, !okB),
			cmp.Compare(cost(a), cost(b)),
			cmp.Compare(crowd[b.Spec.NodeName], crowd[a.Spec.NodeName]),
			younger(okA && okB, readyA, readyB, a, b, now),
			compareRestarts(a, b),
			younger(true, a.CreationTimestamp.Time(), b.CreationTimestamp.Time(), a, b, now),
		)
	})
	return order[:n]
}

// first puts what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// younger puts the later of two times first; no time counts as the latest.
// Times of one magnitude of age leave it to the uids.
func younger(both bool, a, b time.Time, p, q *pod, now time.Time) int {
	switch {
	case !both || a.Equal(b):
		return 0
	case a.IsZero() || b.IsZero():
		return first(a.IsZero(), b.IsZero())
	}
	return cmp.Or(cmp.Compare(magnitude(now.Sub(a)), magnitude(now.Sub(b))), cmp.Compare(p.UID, q.UID))
}

func magnitude(age time.Duration) int {
	if age <= 0 {
		return -1
	}
	return int(math.Log2(float64(age)))
}

func phaseRank(p *pod) int {
	switch p.Status.Phase {
	case corev1.PodRunning:
		return 2
	case corev1.PodUnknown:
		return 1
	}
	return 0
}

// cost is what the annotation says, 0 when that is no number.
func cost(p *pod) int {
	text := p.Annotations[deletionCost]
	if strings.HasPrefix(text, "+") || strings.HasPrefix(text, "0") {
		return 0 // "0", or no number by the rules of upstream
	}
	c, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0
	}
	return int(c)
}

// compareRestarts puts more restarts before fewer; those of sidecars count when the
// others are equal.
func compareRestarts(a, b *pod) int {
	regularA, sidecarsA := a.restarts()
	regularB, sidecarsB := b.restarts()
	return cmp.Or(cmp.Compare(regularB, regularA), cmp.Compare(sidecarsB, sidecarsA))
}
