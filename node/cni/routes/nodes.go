package routes

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
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

// Follow keeps the routes in step with the nodes of the cluster until ctx ends.
// The routes stay then.
func Follow(ctx context.Context, client kubernetes.Interface, self string, log *slog.Logger) error {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(trimNode))
	informer := factory.Core().V1().Nodes().Informer()
	changed := make(chan struct{}, 1)
	poke := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
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
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return ctx.Err()
	}
	var again <-chan time.Time
	retry := backoff.New(retryAfter, retryLongest)
	for {
		var nodes []*corev1.Node
		for _, o := range informer.GetStore().List() {
			nodes = append(nodes, o.(*corev1.Node))
		}
		again = nil
		if err := Sync(Peers(nodes, self)); err != nil {
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

// trimNode keeps what Peers reads.
func trimNode(obj any) (any, error) {
	n, ok := obj.(*corev1.Node)
	if !ok {
		return obj, nil
	}
	if n.Name == "" {
		return nil, errors.New("node without a name")
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion, DeletionTimestamp: n.DeletionTimestamp},
		Spec:       corev1.NodeSpec{PodCIDR: n.Spec.PodCIDR},
		Status:     corev1.NodeStatus{Addresses: n.Status.Addresses},
	}, nil
}
