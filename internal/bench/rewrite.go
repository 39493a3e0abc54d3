package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

const (
	rewrites    = 600
	rewriteSize = 500_000 // bytes
)

// rewrite changes all of one large object again and again.
func (p *plane) rewrite(n int) error {
	at := registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: metav1.NamespaceDefault}
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "large"}}
	random := rand.New(rand.NewPCG(1, 2))
	change := func() {
		text := make([]byte, rewriteSize)
		for i := range text {
			text[i] = 'a' + byte(random.IntN(26))
		}
		o.Data = map[string]string{"text": string(text)}
	}
	change()
	if _, err := p.registry.Create(p.ctx, at, o.DeepCopy(), registry.WriteOptions{}); err != nil {
		return err
	}
	at.Name = o.Name
	for range n {
		change()
		if _, err := p.registry.Update(p.ctx, at, o.DeepCopy(), registry.WriteOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// rewriting measures what one large object that changes all the time takes.
func (b *bench) rewriting(ctx context.Context) error {
	p, err := b.startPlane(ctx, "rewriting")
	if err != nil {
		return err
	}
	defer p.close()
	m := &memoryRun{bench: b, plane: p}
	if err := m.wait(ctx, idle); err != nil {
		return err
	}
	before, of, err := m.read("before rewriting")
	if err != nil {
		return err
	}
	b.report.most("memory before", before, 0, "MiB", "an empty control plane, idle; "+of)
	if err := m.do(order{Do: "rewrite", Count: rewrites}, "  600 updates of an object of 500 KB", 0); err != nil {
		return err
	}
	if err := m.wait(ctx, quiet); err != nil {
		return err
	}
	after, of, err := m.read("after rewriting")
	if err != nil {
		return err
	}
	b.report.most("  two minutes later", after/before, afterLimit, "× before", fmt.Sprintf("%.0f MiB; %s", after, of))
	return nil
}
