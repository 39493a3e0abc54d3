package registry_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/applyconfigurations"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

var (
	namespacesR  = corev1.SchemeGroupVersion.WithResource("namespaces")
	configMapsR  = corev1.SchemeGroupVersion.WithResource("configmaps")
	podsR        = corev1.SchemeGroupVersion.WithResource("pods")
	servicesR    = corev1.SchemeGroupVersion.WithResource("services")
	deploymentsR = appsv1.SchemeGroupVersion.WithResource("deployments")
)

var admin = &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}}

// cluster is a registry on a store in memory, with kinds of k8s.io/api and
// strategies that are as simple as they can be.
type cluster struct {
	registry.Registry // the administrator's
	*registry.Core
	store *countingStore
	cache *watch.Cache
	chain *admission.Chain
	codec *resource.Codec
}

func newCluster(t testing.TB, change ...func(*registry.Config)) *cluster {
	t.Helper()
	return newClusterOn(t, memory.New(), change...)
}

func newClusterOn(t testing.TB, on store.Store, change ...func(*registry.Config)) *cluster {
	t.Helper()
	table := newTable(t)
	codec := resource.NewCodec(resource.NewCatalog(table))
	s := &countingStore{Store: on}
	cache := watch.New(watch.Config{Store: s, Catalog: resource.NewCatalog(table), Decode: codec.Decode})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := cache.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cache: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case <-cache.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("cache is not ready")
	}
	cfg := registry.Config{Catalog: resource.NewCatalog(table), Codec: codec, Store: s, Cache: cache, Admission: &admission.Chain{}}
	for _, f := range change {
		f(&cfg)
	}
	core, err := registry.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{Registry: core.As(admin), Core: core, store: s, cache: cache, chain: cfg.Admission, codec: codec}
	c.mustCreate(t, namespacesR, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	return c
}

// countingStore counts what reaches the store.
type countingStore struct {
	store.Store
	mu        sync.Mutex
	commits   int
	ops       int
	revisions int
	// before, if set, runs before a commit: another writer's chance.
	before func(ops []store.Op)
	// asked, if set, runs before the revision is read.
	asked func()
}

func (s *countingStore) Commit(ctx context.Context, ops []store.Op) (int64, error) {
	s.mu.Lock()
	s.commits++
	s.ops += len(ops)
	before := s.before
	s.mu.Unlock()
	if before != nil {
		before(ops)
	}
	return s.Store.Commit(ctx, ops)
}

func (s *countingStore) Revision(ctx context.Context) (int64, error) {
	s.mu.Lock()
	s.revisions++
	asked := s.asked
	s.mu.Unlock()
	if asked != nil {
		asked()
	}
	return s.Store.Revision(ctx)
}

func (s *countingStore) counts() (commits, revisions int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commits, s.revisions
}

func (s *countingStore) intercept(f func([]store.Op)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = f
}

// reading has f run before the revision is read: what happens while a read waits.
func (s *countingStore) reading(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = f
}

func at(gvr schema.GroupVersionResource, name string) registry.Target {
	t := registry.Target{Resource: gvr, Namespace: "default", Name: name}
	if gvr == namespacesR {
		t.Namespace = ""
	}
	return t
}

func sub(gvr schema.GroupVersionResource, name, subresource string) registry.Target {
	t := at(gvr, name)
	t.Subresource = subresource
	return t
}

func (c *cluster) mustCreate(t testing.TB, gvr schema.GroupVersionResource, obj runtime.Object) runtime.Object {
	t.Helper()
	res, err := c.Create(t.Context(), at(gvr, ""), obj, registry.WriteOptions{FieldManager: "test"})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return res.Object.Obj
}

func (c *cluster) mustGet(t testing.TB, gvr schema.GroupVersionResource, name string) runtime.Object {
	t.Helper()
	o, err := c.Get(t.Context(), at(gvr, name), metav1.GetOptions{})
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	return o.Obj
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: data}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "web:1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 80, Protocol: corev1.ProtocolTCP}},
			Env: []corev1.EnvVar{{Name: "A", Value: "1"}},
		}}},
	}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("").Spec},
		},
	}
}

// wantStatus checks an error against the Status that upstream answers.
func wantStatus(t testing.TB, err error, code int32, reason metav1.StatusReason, message string) {
	t.Helper()
	var s apierrors.APIStatus
	if !errors.As(err, &s) {
		t.Fatalf("got error %v, want Status %d %s", err, code, reason)
	}
	got := s.Status()
	if got.Code != code || got.Reason != reason || got.Message != message {
		t.Errorf("got  %d %s: %s\nwant %d %s: %s", got.Code, got.Reason, got.Message, code, reason, message)
	}
}

func newTable(t testing.TB) *resource.Table {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, autoscalingv1.AddToScheme, policyv1.AddToScheme, addWidgets,
		func(s *runtime.Scheme) error {
			return s.AddFieldLabelConversionFunc(corev1.SchemeGroupVersion.WithKind("Pod"), podFieldLabel)
		},
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	scheme.AddTypeDefaultingFunc(&corev1.Pod{}, func(o any) { defaultPod(&o.(*corev1.Pod).Spec) })
	table := &resource.Table{
		Scheme: scheme,
		Definitions: []*resource.Definition{
			namespaceDefinition(), configMapDefinition(), podDefinition(), serviceDefinition(), deploymentDefinition(), widgetDefinition(),
		},
		TypeConverter: applyconfigurations.NewTypeConverter(scheme),
	}
	if err := table.Index(); err != nil {
		t.Fatal(err)
	}
	return table
}

func podFieldLabel(label, value string) (string, string, error) {
	switch label {
	case "metadata.name", "metadata.namespace", "spec.nodeName", "status.phase":
		return label, value, nil
	case "spec.host":
		return "spec.nodeName", value, nil
	}
	return "", "", fmt.Errorf("field label not supported: %s", label)
}

func defaultPod(s *corev1.PodSpec) {
	if s.RestartPolicy == "" {
		s.RestartPolicy = corev1.RestartPolicyAlways
	}
	if s.TerminationGracePeriodSeconds == nil {
		thirty := int64(30)
		s.TerminationGracePeriodSeconds = &thirty
	}
}

func namespaceDefinition() *resource.Definition {
	return &resource.Definition{
		Resource: "namespaces", Singular: "namespace", Kind: "Namespace", ListKind: "NamespaceList",
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/namespaces",
		Strategy: resource.Strategy{
			PrepareForCreate: func(_ context.Context, obj runtime.Object) {
				obj.(*corev1.Namespace).Spec.Finalizers = []corev1.FinalizerName{corev1.FinalizerKubernetes}
			},
			PrepareForDelete: func(_ context.Context, obj runtime.Object) {
				obj.(*corev1.Namespace).Status.Phase = corev1.NamespaceTerminating
			},
			Held:                     func(obj runtime.Object) bool { return len(obj.(*corev1.Namespace).Spec.Finalizers) > 0 },
			AllowUnconditionalUpdate: true, ReturnDeleted: true,
		},
		Subresources: []resource.Subresource{{Name: "finalize", Style: resource.StylePart,
			PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
				obj.(*corev1.Namespace).Status = old.(*corev1.Namespace).Status
			}}},
	}
}

func configMapDefinition() *resource.Definition {
	return &resource.Definition{
		Resource: "configmaps", Singular: "configmap", Kind: "ConfigMap", ListKind: "ConfigMapList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/configmaps",
		Strategy: resource.Strategy{
			AllowUnconditionalUpdate: true,
			Validate: func(_ context.Context, obj runtime.Object) (errs field.ErrorList) {
				for k := range obj.(*corev1.ConfigMap).Data {
					if k == "bad key" {
						errs = append(errs, field.Invalid(field.NewPath("data").Key(k), k, "a valid config key is needed"))
					}
				}
				return errs
			},
		},
	}
}

func podDefinition() *resource.Definition {
	return &resource.Definition{
		Resource: "pods", Singular: "pod", Kind: "Pod", ListKind: "PodList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/pods",
		Strategy: resource.Strategy{
			PrepareForCreate: func(_ context.Context, obj runtime.Object) {
				p := obj.(*corev1.Pod)
				p.Generation = 1
				p.Status = corev1.PodStatus{Phase: corev1.PodPending}
			},
			PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
				p, q := obj.(*corev1.Pod), old.(*corev1.Pod)
				p.Status = q.Status
				if !equality.Semantic.DeepEqual(p.Spec, q.Spec) {
					p.Generation = q.Generation + 1
				}
			},
			GracePeriod: func(obj runtime.Object, o *metav1.DeleteOptions) (int64, bool) {
				switch p := obj.(*corev1.Pod); {
				case o.GracePeriodSeconds != nil:
					return *o.GracePeriodSeconds, true
				case p.Spec.NodeName == "":
					return 0, true
				case p.Spec.TerminationGracePeriodSeconds != nil:
					return *p.Spec.TerminationGracePeriodSeconds, true
				}
				return 30, true
			},
			Fields: func(obj runtime.Object) fields.Set {
				p := obj.(*corev1.Pod)
				return fields.Set{"metadata.name": p.Name, "metadata.namespace": p.Namespace,
					"spec.nodeName": p.Spec.NodeName, "status.phase": string(p.Status.Phase)}
			},
			FieldLabels:   []string{"spec.nodeName", "status.phase"},
			ReturnDeleted: true, AllowUnconditionalUpdate: true,
		},
		Subresources: []resource.Subresource{
			{Name: "status", Style: resource.StyleStatus, PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
				p, q := obj.(*corev1.Pod), old.(*corev1.Pod)
				p.Spec, p.DeletionTimestamp, p.OwnerReferences = q.Spec, nil, q.OwnerReferences
			}},
			{Name: "binding", Style: resource.StyleAction, Kind: corev1.SchemeGroupVersion.WithKind("Binding"), Action: bind},
			{Name: "eviction", Style: resource.StyleAction, Kind: policyv1.SchemeGroupVersion.WithKind("Eviction"), Action: evict, Companions: spend},
		},
	}
}

func bind(_ context.Context, obj, body runtime.Object) (runtime.Object, error) {
	p, b := obj.(*corev1.Pod), body.(*corev1.Binding)
	if p.Spec.NodeName != "" {
		return nil, fmt.Errorf("pod %v is already assigned to node %q", p.Name, p.Spec.NodeName)
	}
	p.Spec.NodeName = b.Target.Name
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue})
	return nil, nil
}

func evict(_ context.Context, obj, body runtime.Object) (runtime.Object, error) {
	p, e := obj.(*corev1.Pod), body.(*policyv1.Eviction)
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue})
	if e.DeleteOptions == nil {
		return &metav1.DeleteOptions{}, nil
	}
	return e.DeleteOptions, nil
}

// spend takes one from the ConfigMap "budget", if there is one.
func spend(ctx context.Context, r resource.Reader, _, _ runtime.Object) ([]resource.Companion, error) {
	o, err := r.Get(ctx, configMapsGR, "default", "budget")
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	m := o.DeepCopyObject().(*corev1.ConfigMap)
	left, _ := strconv.Atoi(m.Data["left"])
	if left == 0 {
		return nil, apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
	}
	m.Data["left"] = strconv.Itoa(left - 1)
	return []resource.Companion{{Resource: configMapsGR, Namespace: "default", Name: "budget", Object: m, Update: true}}, nil
}

// A Service takes the first free address, which is a ConfigMap here.
func serviceDefinition() *resource.Definition {
	return &resource.Definition{
		Resource: "services", Singular: "service", Kind: "Service", ListKind: "ServiceList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/services/specs",
		Strategy: resource.Strategy{ReturnDeleted: true, Companions: allocate},
	}
}

var configMapsGR = configMapsR.GroupResource()

func allocate(ctx context.Context, r resource.Reader, obj, old runtime.Object) ([]resource.Companion, error) {
	if obj == nil {
		ip := old.(*corev1.Service).Spec.ClusterIP
		claim, err := r.Get(ctx, configMapsGR, "default", ip)
		return []resource.Companion{{Resource: configMapsGR, Namespace: "default", Name: ip, Old: claim}}, err
	}
	if old != nil {
		return nil, nil
	}
	s := obj.(*corev1.Service)
	for i := 1; i < 10; i++ {
		ip := fmt.Sprintf("10.0.0.%d", i)
		if _, err := r.Get(ctx, configMapsGR, "default", ip); apierrors.IsNotFound(err) {
			s.Spec.ClusterIP = ip
			return []resource.Companion{{Resource: configMapsGR, Namespace: "default", Name: ip,
				Object: &corev1.ConfigMap{Data: map[string]string{"service": s.Name}}}}, nil
		}
	}
	return nil, errors.New("no address is free")
}

func deploymentDefinition() *resource.Definition {
	return &resource.Definition{
		Group: "apps", Resource: "deployments", Singular: "deployment", Kind: "Deployment", ListKind: "DeploymentList", Namespaced: true,
		Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/deployments",
		Strategy: resource.Strategy{
			PrepareForCreate: func(_ context.Context, obj runtime.Object) {
				d := obj.(*appsv1.Deployment)
				d.Generation, d.Status = 1, appsv1.DeploymentStatus{}
			},
			PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
				d, q := obj.(*appsv1.Deployment), old.(*appsv1.Deployment)
				d.Status = q.Status
				if !equality.Semantic.DeepEqual(d.Spec, q.Spec) {
					d.Generation = q.Generation + 1
				}
			},
			AllowUnconditionalUpdate: true,
		},
		Subresources: []resource.Subresource{
			{Name: "status", Style: resource.StyleStatus, PrepareForUpdate: func(_ context.Context, obj, old runtime.Object) {
				d, q := obj.(*appsv1.Deployment), old.(*appsv1.Deployment)
				d.Spec, d.Labels = q.Spec, q.Labels
			}},
			{Name: "scale", Style: resource.StyleProjection, Kind: autoscalingv1.SchemeGroupVersion.WithKind("Scale"),
				Get: func(_ context.Context, obj runtime.Object) (runtime.Object, error) {
					d := obj.(*appsv1.Deployment)
					return &autoscalingv1.Scale{
						ObjectMeta: metav1.ObjectMeta{Name: d.Name, Namespace: d.Namespace, UID: d.UID,
							ResourceVersion: d.ResourceVersion, CreationTimestamp: d.CreationTimestamp},
						Spec:   autoscalingv1.ScaleSpec{Replicas: *d.Spec.Replicas},
						Status: autoscalingv1.ScaleStatus{Replicas: d.Status.Replicas},
					}, nil
				},
				Set: func(_ context.Context, obj, scale runtime.Object) error {
					n := scale.(*autoscalingv1.Scale).Spec.Replicas
					obj.(*appsv1.Deployment).Spec.Replicas = &n
					return nil
				}},
		},
	}
}

// anybody may create what an update or an apply does not find.
func anybody(context.Context, registry.Target) error { return nil }
