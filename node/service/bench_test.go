package service_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pintle-io/pintle/ebpf/lb"
	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/informer"
	"github.com/pintle-io/pintle/node/service"
)

// written tells when the service web was written.
type written struct {
	*lb.Table
	web chan time.Time
}

func (w written) Upsert(s lb.Service) error {
	err := w.Table.Upsert(s)
	if s.Key == webKey {
		select {
		case w.web <- time.Now():
		default:
		}
	}
	return err
}

// BenchmarkChange changes the endpoints of one Service among 10,000: from the
// informer's event to the data path (the fake API itself takes longer).
func BenchmarkChange(b *testing.B) {
	cgroup := testenv.RequireNetwork(b)
	var objs []runtime.Object
	for i := range 9999 {
		s := svc(func(s *corev1.Service) {
			s.Name, s.Spec.ClusterIP = fmt.Sprint("s", i), fmt.Sprintf("10.97.%d.%d", i>>8, i&255)
		})
		e := eps(fmt.Sprintf("10.244.%d.%d there", i>>8, i&255))
		e.Name, e.Labels = s.Name, map[string]string{discoveryv1.LabelServiceName: s.Name}
		objs = append(objs, s, e)
	}
	before, after := eps("10.244.200.1 here", "10.244.200.2 here"), eps("10.244.200.1 here")
	client := fake.NewClientset(append(objs, svc(nil), before)...)
	l, err := lb.Open(lb.Config{CgroupPath: cgroup})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	set := informer.New(client, "here")
	cat, err := service.NewCatalog(set)
	if err != nil {
		b.Fatal(err)
	}
	w := written{l.Table, make(chan time.Time, 1)}
	heard := make(chan time.Time, 1)
	cat.Subscribe(func(n types.NamespacedName) {
		if n.Name != "web" {
			return
		}
		select {
		case heard <- time.Now():
		default:
		}
	})
	proxy := service.New(service.Config{Catalog: cat, Table: w, Sockets: l.Sockets, Node: "here"})
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer func() { cancel(); wg.Wait() }()
	for _, run := range []func(context.Context) error{set.Run, cat.Run, proxy.Run} {
		wg.Go(func() {
			if err := run(ctx); !errors.Is(err, context.Canceled) {
				b.Error(err)
			}
		})
	}
	start := time.Now()
	<-proxy.Ready()
	b.Logf("10,000 Services from the API's list to the data path: %v", time.Since(start))
	report := func(b *testing.B, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	}
	b.Run("event", func(b *testing.B) {
		var took []time.Duration
		for drained := false; !drained; { // what is left of the list
			select {
			case <-heard:
			case <-w.web:
			case <-time.After(100 * time.Millisecond):
				drained = true
			}
		}
		for i := 0; b.Loop(); i++ {
			next := after
			if i%2 == 1 {
				next = before
			}
			if _, err := client.DiscoveryV1().EndpointSlices("default").Update(ctx, next, metav1.UpdateOptions{}); err != nil {
				b.Fatal(err)
			}
			took = append(took, (<-w.web).Sub(<-heard))
		}
		report(b, took)
	})
}
