package main

import (
	"context"
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
func (p *controlPlane) rewrite(n int) error {
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
	return b.stays(ctx, "rewriting", "  two minutes later", func(m *memoryRun) error {
		return m.do(order{Do: "rewrite", Count: rewrites}, "  600 updates of an object of 500 KB", 0)
	})
}
