package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
)

const (
	jsonType  = "application/json"
	protoType = "application/vnd.kubernetes.protobuf"
	podsPath  = "/api/v1/namespaces/default/pods"

	listPods                = 10000
	watchers, watchUpdates  = 100, 1000
	createTime              = 3 * time.Second
	nobody                  = "bench-nobody" // a scheduler that there is not
	stamp                   = "bench.pintle.dev/at"
	batch                   = 250
	peerList, peerListProto = 409.0, 200.0 // ms, of kube-apiserver
	peerListCPU             = 450.0        // ms
	peerListProtoCPU        = 240.0
)

// aPod is a pod of about 2 KB as JSON, that nobody schedules.
func aPod(name string) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: map[string]string{"app": "stored", "pod-template-hash": "5d59d67564"}},
		Spec:       corev1.PodSpec{SchedulerName: nobody, Containers: []corev1.Container{{Name: "app", Image: "registry.local/team/application:v1.2.3"}}},
	}
	for i := range 6 {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: fmt.Sprint("SETTING_", i), Value: strings.Repeat("v", 40)})
	}
	return p
}

// makePods stores pods.
func (p *controlPlane) makePods(n int) error {
	for i := 0; i < n; i += batch {
		var items []registry.BatchItem
		for j := i; j < min(i+batch, n); j++ {
			items = append(items, registry.BatchItem{Verb: "create", Target: registry.Target{Resource: podResource, Namespace: metav1.NamespaceDefault}, Object: aPod(fmt.Sprintf("stored-%05d", j))})
		}
		results, err := p.registry.Batch(p.ctx, items, false)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Err != nil {
				return r.Err
			}
		}
	}
	return p.awaitIdle()
}

// http measures what clients see.
func (b *bench) http(ctx context.Context) error {
	p, err := b.startControlPlane(ctx, "http")
	if err != nil {
		return err
	}
	defer p.close()
	if _, err := p.order(order{Do: "pods", Count: listPods}); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context, *controlPlaneClient) (ok bool, err error)
	}{{"list", b.lists}, {"watch", b.watches}, {"create", b.creates}} {
		profile := filepath.Join(b.profiles, part.name+".pprof")
		if _, err := p.order(order{Do: "profile", File: profile}); err != nil {
			return err
		}
		ok, err := part.run(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		if _, err := p.order(order{Do: "profile"}); err != nil {
			return err
		}
		if !ok {
			b.report.explain(profile)
		}
	}
	return nil
}

// lists reads all pods, once when nothing was encoded yet and then again and
// again.
func (b *bench) lists(ctx context.Context, p *controlPlaneClient) (ok bool, err error) {
	c, err := p.client()
	if err != nil {
		return false, err
	}
	ok = true
	for _, x := range []struct {
		name, media           string
		limitWall, limitTotal float64
	}{{"JSON", jsonType, peerList / 20, peerListCPU / 20}, {"protobuf", protoType, peerListProto / 10, peerListProtoCPU / 10}} {
		var size int64
		read := func() (err error) {
			size, err = c.fetch(ctx, "GET", podsPath, "", x.media, nil)
			return err
		}
		first, firstCPU, err := p.measured(read)
		if err != nil {
			return false, err
		}
		const times = 20
		var took []time.Duration
		_, cpu, err := p.measured(func() error {
			for range times {
				begin := time.Now()
				if err := read(); err != nil {
					return err
				}
				took = append(took, time.Since(begin))
			}
			return nil
		})
		if err != nil {
			return false, err
		}
		name := "LIST of 10,000 pods, " + x.name
		ok = b.report.most(name, ms(percentile(took, 50)), x.limitWall, "ms", fmt.Sprintf("p50 of %d; %.1f MB through TLS and HTTP/2", times, float64(size)/1e6)) && ok
		ok = b.report.most("  server CPU", ms(cpu)/times, x.limitTotal, "ms", "") && ok
		b.report.most("  the first, nothing encoded yet", ms(first), 0, "ms", fmt.Sprintf("%.0f ms of server CPU", ms(firstCPU)))
	}
	return ok, nil
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func percentile(d []time.Duration, p int) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[(len(d)-1)*p/100]
}

// watches has many clients follow what one, and then sixteen, writers change.
func (b *bench) watches(ctx context.Context, p *controlPlaneClient) (ok bool, err error) {
	ok = true
	for _, writers := range []int{1, 16} {
		ctx, cancel := context.WithCancel(ctx)
		followers, err := p.follow(ctx)
		if err != nil {
			cancel()
			return false, err
		}
		wall, cpu, err := p.measured(func() error { return errors.Join(p.update(ctx, writers), followers.wait()) })
		cancel()
		if err != nil {
			return false, err
		}
		name := fmt.Sprintf("100 watchers × 1,000 updates, %d writers", writers)
		limits := map[int][2]float64{1: {0, 0}, 16: {5 * 26300, 3600.0 / 5}}[writers]
		ok = b.report.least(name, watchers*watchUpdates/wall.Seconds(), limits[0], "events/s", fmt.Sprintf("%.0f updates/s", watchUpdates/wall.Seconds())) && ok
		ok = b.report.most("  server CPU", ms(cpu), limits[1], "ms", "writes included") && ok
		all := followers.latencies()
		b.report.most("  request of the write → event received, p50", ms(percentile(all, 50)), 0, "ms", "")
		b.report.most("  p99", ms(percentile(all, 99)), 0, "ms", "")
	}
	return ok, nil
}

// followers are clients that watch.
type followers struct {
	wg   sync.WaitGroup
	took [watchers][]time.Duration
	errs [watchers]error
}

// follow starts the watchers, each with a connection of its own, and returns
// when all of them have been answered.
func (p *controlPlaneClient) follow(ctx context.Context) (*followers, error) {
	f := &followers{}
	now, err := p.revision(ctx)
	if err != nil {
		return nil, err
	}
	for i := range watchers {
		c, err := p.client()
		if err != nil {
			return nil, err
		}
		res, err := c.do(ctx, "GET", podsPath+"?watch=true&resourceVersion="+now, "", jsonType, nil)
		if err != nil {
			return nil, err
		}
		f.wg.Go(func() {
			defer c.http.CloseIdleConnections()
			defer res.Body.Close()
			f.took[i], f.errs[i] = receive(res.Body)
		})
	}
	return f, nil
}

// revision is the cluster's present one.
func (p *controlPlaneClient) revision(ctx context.Context) (string, error) {
	c, err := p.client()
	if err != nil {
		return "", err
	}
	defer c.http.CloseIdleConnections()
	res, err := c.do(ctx, "GET", podsPath+"?limit=1", "", jsonType, nil)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var l metav1.PartialObjectMetadataList
	err = json.NewDecoder(res.Body).Decode(&l)
	return l.ResourceVersion, err
}

func (f *followers) wait() error {
	f.wg.Wait()
	return errors.Join(f.errs[:]...)
}

func (f *followers) latencies() []time.Duration { return slices.Concat(f.took[:]...) }

// receive reads events until it has seen every update, and returns how old
// each was. It looks for the time stamp only: decoding is a client's affair.
func receive(r io.Reader) ([]time.Duration, error) {
	took := make([]time.Duration, 0, watchUpdates)
	in, mark := bufio.NewReaderSize(r, 64<<10), []byte(`"`+stamp+`":"`)
	for len(took) < watchUpdates {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return took, fmt.Errorf("watch ended after %d events: %w", len(took), err)
		}
		i := bytes.Index(line, mark)
		if i < 0 {
			continue
		}
		text := line[i+len(mark):]
		at, err := strconv.ParseInt(string(text[:max(0, bytes.IndexByte(text, '"'))]), 10, 64)
		if err != nil {
			return took, err
		}
		took = append(took, time.Duration(time.Now().UnixNano()-at))
	}
	return took, nil
}

// update stamps pods with the time, each writer its own ones.
func (p *controlPlaneClient) update(ctx context.Context, writers int) error {
	return parallel(writers, func(w int) error {
		c, err := p.client()
		if err != nil {
			return err
		}
		defer c.http.CloseIdleConnections()
		for i := w; i < watchUpdates; i += writers {
			body := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}}}`, stamp, time.Now().UnixNano())
			if _, err := c.fetch(ctx, "PATCH", fmt.Sprintf("%s/stored-%05d", podsPath, w*100+i%100), "application/merge-patch+json", jsonType, strings.NewReader(body)); err != nil {
				return err
			}
		}
		return nil
	})
}

func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// creates posts pods one by one.
func (b *bench) creates(ctx context.Context, p *controlPlaneClient) (ok bool, err error) {
	ok = true
	for _, x := range []struct {
		clients    int
		rate, most float64
	}{{1, 2 * 494, 4.0 / 2}, {16, 2 * 1379, 32.0 / 2}} {
		took := make([][]time.Duration, x.clients)
		wall, cpu, err := p.measured(func() error {
			return parallel(x.clients, func(i int) error {
				c, err := p.client()
				if err != nil {
					return err
				}
				defer c.http.CloseIdleConnections()
				for n, end := 0, time.Now().Add(createTime); time.Now().Before(end) && n < 5000; n++ {
					body, err := json.Marshal(aPod(fmt.Sprintf("c%d-%d-%d", x.clients, i, n)))
					if err != nil {
						return err
					}
					begin := time.Now()
					if _, err := c.fetch(ctx, "POST", podsPath, jsonType, jsonType, bytes.NewReader(body)); err != nil {
						return err
					}
					took[i] = append(took[i], time.Since(begin))
				}
				return nil
			})
		})
		if err != nil {
			return false, err
		}
		all := slices.Concat(took...)
		name := fmt.Sprintf("create through HTTP, %d clients", x.clients)
		ok = b.report.least(name, float64(len(all))/wall.Seconds(), x.rate, "pods/s", "pods of 2 KB with admission plugins as WASM; the peer's etcd was on tmpfs") && ok
		ok = b.report.most("  p99", ms(percentile(all, 99)), x.most, "ms", fmt.Sprintf("p50 %.2f ms", ms(percentile(all, 50)))) && ok
		b.report.most("  server CPU", ms(cpu)/float64(len(all)), 0, "ms each", "")
	}
	return ok, nil
}
