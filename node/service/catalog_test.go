package service_test

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pintle-io/pintle/node/informer"
	"github.com/pintle-io/pintle/node/service"
)

// A namespace is there because it is, not because it has a Service, and goes
// with itself, not with its last Service.
func TestHasNamespace(t *testing.T) {
	client := fake.NewClientset(
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bare"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ghost", Name: "left"}},
	)
	set := informer.New(client, "here")
	c, err := service.NewCatalog(set)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = set.Run(ctx) })
	wg.Go(func() { _ = c.Run(ctx) })
	defer func() { cancel(); wg.Wait() }()
	<-c.Synced()
	if !c.HasNamespace("bare") {
		t.Error("a namespace without Services is not known")
	}
	if c.HasNamespace("ghost") || c.HasNamespace("") {
		t.Error("a namespace that is not there is known")
	}
	if _, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "later"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.CoreV1().Namespaces().Delete(ctx, "bare", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); !c.HasNamespace("later") || c.HasNamespace("bare"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("later %v, bare %v", c.HasNamespace("later"), c.HasNamespace("bare"))
		}
	}
}
