package routes

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/internal/backoff"
)

// Peers returns whom the nodes' pods are reached by, self left out. A node
// without a pod range or an internal IPv4 address has none.
func Peers(nodes []*corev1.Node, self string) []Peer {
	var out []Peer
	for _, n := range nodes {
		if n.Name == self || n.DeletionTimestamp != nil {
			continue
		}
		pods, err := netip.ParsePrefix(n.Spec.PodCIDR)
		if err != nil || !pods.Addr().Is4() {
			continue
		}
		for _, a := range n.Status.Addresses {
			via, err := netip.ParseAddr(a.Address)
			if a.Type == corev1.NodeInternalIP && err == nil && via.Is4() {
				out = append(out, Peer{Pods: pods.Masked(), Via: via})
				break
			}
		}
	}
	return out
}

// retryAfter is how long Follow waits to try again what failed: a peer's link may
// come up, an address be assigned.
const (
	retryAfter   = 5 * time.Second
	retryLongest = time.Minute
)

// Follow keeps the routes in step with the nodes of the cluster, which the
// informer follows, until ctx ends. The routes stay then.
func Follow(ctx context.Context, nodes cache.SharedIndexInformer, self string, log *slog.Logger) error {
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	handler, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { poke() },
		DeleteFunc: func(any) { poke() },
		UpdateFunc: func(before, after any) {
			if differ(before.(*corev1.Node), after.(*corev1.Node)) {
				poke()
			}
		},
	})
	if err != nil {
		return err
	}
	defer func() { _ = nodes.RemoveEventHandler(handler) }() // fails only for a handler of another informer
	if !cache.WaitForCacheSync(ctx.Done(), handler.HasSynced) {
		return ctx.Err()
	}
	var again <-chan time.Time
	retry := backoff.New(retryAfter, retryLongest)
	for {
		var all []*corev1.Node
		for _, o := range nodes.GetStore().List() {
			all = append(all, o.(*corev1.Node))
		}
		again = nil
		if err := Sync(Peers(all, self)); err != nil {
			again = time.After(retry.Failed(log, "routes to other nodes are incomplete", err))
		} else {
			retry.Succeeded(log)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-again:
		}
	}
}

func differ(a, b *corev1.Node) bool {
	x, y := Peers([]*corev1.Node{a}, ""), Peers([]*corev1.Node{b}, "")
	if len(x) == 0 || len(y) == 0 {
		return len(x) != len(y)
	}
	return x[0] != y[0]
}
