package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var serviceCases = []Case{
	{Name: "services/kubernetes", Stands: "Services should provide secure master service", Run: serviceKubernetes},
	{Name: "services/addresses", Stands: "Service ClusterIP allocation", Run: serviceAddresses},
	{Name: "services/node-ports", Stands: "Services should be able to change the type from ClusterIP to NodePort", Run: serviceNodePorts},
	{Name: "services/endpoint-slices", Stands: "EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service; the slices of it", Run: serviceEndpointSlices},
	{Name: "services/ports-by-name", Stands: "EndpointSlice should support multiple ports by name", Run: servicePortNames},
}

func service(name string, port int32, selector map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Selector: selector, Ports: []corev1.ServicePort{{Port: port}}}}
}

func serviceKubernetes(ctx context.Context, e *Env) error {
	s, err := e.Client.CoreV1().Services("default").Get(ctx, "kubernetes", get)
	if err != nil {
		return err
	}
	return errors.Join(same("ports", len(s.Spec.Ports), 1), same("port", s.Spec.Ports[0].Port, 443), same("name of the port", s.Spec.Ports[0].Name, "https"))
}

func serviceAddresses(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Services(e.Namespace)
	seen := map[string]bool{}
	var last *corev1.Service
	for i := range 3 {
		s, err := c.Create(ctx, service(fmt.Sprint("s", i), 80, nil), create)
		if err != nil {
			return err
		}
		a, err := netip.ParseAddr(s.Spec.ClusterIP)
		if err != nil || seen[a.String()] || len(s.Spec.ClusterIPs) != 1 || s.Spec.ClusterIPs[0] != s.Spec.ClusterIP {
			return fmt.Errorf("clusterIP %q of %v: want an address, new each time (%v)", s.Spec.ClusterIP, s.Spec.ClusterIPs, err)
		}
		seen[a.String()] = true
		last = s
	}
	taken := service("taken", 80, nil)
	taken.Spec.ClusterIP = last.Spec.ClusterIP
	_, double := c.Create(ctx, taken, create)
	moved := last.DeepCopy()
	moved.Spec.ClusterIP, moved.Spec.ClusterIPs = "None", []string{"None"}
	_, changed := c.Update(ctx, moved, update)
	head := service("head", 80, nil)
	head.Spec.ClusterIP = corev1.ClusterIPNone
	head, err := c.Create(ctx, head, create)
	if err != nil {
		return err
	}
	errs := []error{invalid("an address that is taken", double), invalid("another address", changed), same("clusterIP of a headless Service", head.Spec.ClusterIP, "None")}
	if err := c.Delete(ctx, last.Name, remove); err != nil {
		return err
	}
	again, err := c.Create(ctx, taken, create)
	if err != nil {
		return errors.Join(append(errs, fmt.Errorf("the address of a Service that is gone: %w", err))...)
	}
	return errors.Join(append(errs, same("address taken again", again.Spec.ClusterIP, taken.Spec.ClusterIP))...)
}

func serviceNodePorts(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().Services(e.Namespace)
	s, err := c.Create(ctx, service("a", 80, nil), create)
	if err != nil {
		return err
	}
	s.Spec.Type = corev1.ServiceTypeNodePort
	if s, err = c.Update(ctx, s, update); err != nil {
		return err
	}
	port := s.Spec.Ports[0].NodePort
	if port < 30000 || port > 32767 {
		return fmt.Errorf("nodePort is %d, want one of 30000 to 32767", port)
	}
	double := service("b", 80, nil)
	double.Spec.Type, double.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, port
	_, err = c.Create(ctx, double, create)
	errs := []error{invalid("a node port that is taken", err)}
	s.Spec.Type = corev1.ServiceTypeClusterIP
	s.Spec.Ports[0].NodePort = 0
	if s, err = c.Update(ctx, s, update); err != nil {
		return errors.Join(append(errs, err)...)
	}
	errs = append(errs, same("nodePort of type ClusterIP", s.Spec.Ports[0].NodePort, 0))
	_, err = c.Create(ctx, double, create)
	if err != nil {
		err = fmt.Errorf("a node port that was given back: %w", err)
	}
	return errors.Join(append(errs, err)...)
}

// endpoints are the addresses of a Service by condition.
func endpoints(ctx context.Context, e *Env, svc string) (ready, not []string, all []discoveryv1.EndpointSlice, err error) {
	l, err := e.Client.DiscoveryV1().EndpointSlices(e.Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + svc})
	if err != nil {
		return nil, nil, nil, err
	}
	for _, s := range l.Items {
		for _, p := range s.Endpoints {
			if p.Conditions.Ready == nil || *p.Conditions.Ready {
				ready = append(ready, p.Addresses...)
			} else {
				not = append(not, p.Addresses...)
			}
		}
	}
	slices.Sort(ready)
	slices.Sort(not)
	return ready, not, l.Items, nil
}

func wantEndpoints(ctx context.Context, e *Env, svc, ready, not string) error {
	return eventually(ctx, func() error {
		r, n, _, err := endpoints(ctx, e, svc)
		if err != nil {
			return err
		}
		return errors.Join(same("ready endpoints", fmt.Sprint(r), ready), same("endpoints that are not ready", fmt.Sprint(n), not))
	})
}

func serviceEndpointSlices(ctx context.Context, e *Env) error {
	labels := map[string]string{"app": "web"}
	node, done, err := paperNode(ctx, e)
	if err != nil {
		return err
	}
	defer done()
	if _, err := e.Client.CoreV1().Services(e.Namespace).Create(ctx, service("web", 80, labels), create); err != nil {
		return err
	}
	for i, name := range []string{"a", "b"} {
		p := pod(name, labels)
		p.Spec.NodeName = node
		if _, err := e.Client.CoreV1().Pods(e.Namespace).Create(ctx, p, create); err != nil {
			return err
		}
		if err := setReady(ctx, e, name, fmt.Sprintf("198.51.100.%d", i+1)); err != nil {
			return err
		}
	}
	if err := wantEndpoints(ctx, e, "web", "[198.51.100.1 198.51.100.2]", "[]"); err != nil {
		return err
	}
	_, _, all, err := endpoints(ctx, e, "web")
	if err != nil {
		return err
	}
	s := all[0]
	errs := []error{owned("the EndpointSlice", &s, "Service", s.OwnerReferences[0].UID), same("managed by", s.Labels[discoveryv1.LabelManagedBy], "endpointslice-controller.k8s.io"),
		same("addressType", s.AddressType, discoveryv1.AddressTypeIPv4), same("port", *s.Ports[0].Port, 80), same("target", s.Endpoints[0].TargetRef.Kind, "Pod")}
	if _, err := e.Client.CoreV1().Pods(e.Namespace).Patch(ctx, "b", "application/strategic-merge-patch+json",
		[]byte(`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`), patch, "status"); err != nil {
		return err
	}
	errs = append(errs, wantEndpoints(ctx, e, "web", "[198.51.100.1]", "[198.51.100.2]"), e.Client.CoreV1().Pods(e.Namespace).Delete(ctx, "a", remove),
		wantEndpoints(ctx, e, "web", "[]", "[198.51.100.2]"), e.Client.CoreV1().Services(e.Namespace).Delete(ctx, "web", remove),
		eventually(ctx, func() error {
			_, _, all, err := endpoints(ctx, e, "web")
			return errors.Join(err, same("slices of a Service that is gone", len(all), 0))
		}))
	return errors.Join(errs...)
}

func servicePortNames(ctx context.Context, e *Env) error {
	labels := map[string]string{"app": "named"}
	node, done, err := paperNode(ctx, e)
	if err != nil {
		return err
	}
	defer done()
	s := service("named", 80, labels)
	s.Spec.Ports[0].TargetPort.Type, s.Spec.Ports[0].TargetPort.StrVal, s.Spec.Ports[0].Name = 1, "web", "http"
	if _, err := e.Client.CoreV1().Services(e.Namespace).Create(ctx, s, create); err != nil {
		return err
	}
	for i, port := range []int32{8080, 9090} {
		p := pod(fmt.Sprint("p", i), labels)
		p.Spec.NodeName = node
		p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "web", ContainerPort: port}}
		if _, err := e.Client.CoreV1().Pods(e.Namespace).Create(ctx, p, create); err != nil {
			return err
		}
		if err := setReady(ctx, e, p.Name, fmt.Sprintf("198.51.100.%d", 10+i)); err != nil {
			return err
		}
	}
	// Pods that disagree about the number get slices of their own.
	return eventually(ctx, func() error {
		_, _, all, err := endpoints(ctx, e, "named")
		if err != nil {
			return err
		}
		var got []string
		for _, s := range all {
			if len(s.Endpoints) > 0 && len(s.Ports) == 1 {
				got = append(got, fmt.Sprintf("%s %s %d", s.Endpoints[0].Addresses[0], *s.Ports[0].Name, *s.Ports[0].Port))
			}
		}
		slices.Sort(got)
		return same("slices", fmt.Sprint(got), "[198.51.100.10 http 8080 198.51.100.11 http 9090]")
	})
}
