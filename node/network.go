package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/membership"
)

// How often a network that is not ready is asked again: soon at first, since
// pods wait for it.
const (
	networkPoll    = 50 * time.Millisecond
	maxNetworkPoll = time.Second
)

// configureNetwork waits for the node's range of pod addresses, hands it to
// the network, and watches until network and runtime are ready for pods.
func (p *parts) configureNetwork(ctx context.Context, first *corev1.Node) error {
	if p.agent.cfg.Network == nil {
		return nil
	}
	node, err := p.awaitRange(ctx, first)
	if err != nil || node == nil {
		return err
	}
	cidr, err := podCIDR(node)
	if err != nil {
		return fmt.Errorf("node %s: %w", node.Name, err)
	}
	for retry := backoff.New(100*time.Millisecond, 10*time.Second); ; {
		err := p.agent.cfg.Network.Configure(ctx, cidr)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		pause := retry.Failed(p.agent.cfg.Log, "pod network not configured", err, "cidr", cidr)
		p.explain("pod network: " + err.Error())
		if !sleep(ctx, pause) {
			return nil
		}
	}
	p.agent.cfg.Log.Info("pod network configured", "cidr", cidr)
	return p.watchNetwork(ctx)
}

// awaitRange returns the node once it has a range; nil when ctx ends.
func (p *parts) awaitRange(ctx context.Context, first *corev1.Node) (*corev1.Node, error) {
	if first.Spec.PodCIDR != "" {
		return first, nil
	}
	p.explain("waiting for a range of pod addresses (node.spec.podCIDR)")
	found := make(chan *corev1.Node, 1)
	look := func(obj any) {
		if n, ok := obj.(*corev1.Node); ok && n.Name == p.agent.cfg.Name && n.Spec.PodCIDR != "" {
			select {
			case found <- n:
			default:
			}
		}
	}
	nodes := p.agent.informers.Nodes()
	handler, err := nodes.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: look, UpdateFunc: func(_, obj any) { look(obj) }})
	if err != nil {
		return nil, fmt.Errorf("follow node: %w", err)
	}
	defer func() { _ = nodes.RemoveEventHandler(handler) }() // fails only for a handler of another informer
	select {
	case n := <-found:
		return n, nil
	case <-ctx.Done():
		return nil, nil
	}
}

// watchNetwork keeps p.network right: often while it is not ready, rarely
// afterwards.
func (p *parts) watchNetwork(ctx context.Context) error {
	poll := backoff.New(networkPoll, maxNetworkPoll)
	for {
		ready := p.agent.cfg.Network.Ready()
		if ready {
			h, err := p.agent.runtime.Status(ctx)
			if ready = err == nil && h.Network; !ready && err == nil {
				p.explain(h.Message)
			}
		} else {
			p.explain("the pod network is not ready")
		}
		if p.network.Swap(ready) != ready {
			p.agent.cfg.Log.Info("pod network", "ready", ready)
			p.member.Poke()
		}
		wait := 5 * time.Second
		if ready {
			poll.Succeeded(p.agent.cfg.Log)
		} else {
			wait = poll.Again()
		}
		if !sleep(ctx, wait) {
			return nil
		}
	}
}

func (p *parts) explain(why string) { p.down.Store(&why) }

// health is what membership reports.
func (p *parts) health(ctx context.Context) membership.Health {
	h := membership.Health{Network: p.network.Load()}
	h.Memory, h.Disk, h.PIDs = membership.Pressure(p.agent.cfg.Root)
	r, err := p.agent.runtime.Status(ctx)
	switch {
	case err != nil:
		h.Message = "container runtime is down: " + err.Error()
	case !r.Runtime:
		h.Message = "container runtime is not ready: " + r.Message
	default:
		h.Runtime = true
	}
	if why := p.down.Load(); h.Runtime && !h.Network && why != nil {
		h.Message = "container runtime network not ready: " + *why
	}
	return h
}

func (p *parts) healthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if h := p.health(ctx); !h.Runtime {
		return errors.New(h.Message)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
