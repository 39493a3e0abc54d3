package core

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Upstream's words.
var (
	errPortTaken = errors.New("provided port is already allocated")
	errPortsFull = errors.New("range is full")
)

// claimedBy is the annotation of a port's claim: the Service, namespace/name.
const claimedBy = "pintle.dev/service"

// nodePorts claims the node ports that were asked for and chooses the rest.
func (a *allocation) nodePorts(creating bool) error {
	s := a.svc
	if hasNodePorts(s) {
		if err := a.requestPorts(); err != nil {
			return err
		}
		if allocatesNodePorts(s) {
			if err := a.choosePorts(creating); err != nil {
				return err
			}
		}
	}
	if !needsHealthPort(s) {
		return nil
	}
	if p := s.Spec.HealthCheckNodePort; p != 0 {
		if err := a.requestPort(p); err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate requested HealthCheck NodePort %v: %w", p, err))
		}
		return nil
	}
	p, err := a.freePort()
	if err != nil {
		return apierrors.NewInternalError(fmt.Errorf("failed to allocate a HealthCheck NodePort %v: %w", s.Spec.HealthCheckNodePort, err))
	}
	s.Spec.HealthCheckNodePort = p
	return nil
}

func (a *allocation) requestPorts() error {
	for i := range a.svc.Spec.Ports {
		p := a.svc.Spec.Ports[i].NodePort
		if p == 0 {
			continue
		}
		if err := a.requestPort(p); err != nil {
			return invalidService(a.svc, field.ErrorList{field.Invalid(field.NewPath("spec", "ports").Index(i).Child("nodePort"), p, err.Error())})
		}
	}
	return nil
}

// choosePorts fills in the missing node ports. A new service that serves one
// port number over several protocols gets one node port for them.
func (a *allocation) choosePorts(creating bool) error {
	ports := a.svc.Spec.Ports
	for i := range ports {
		if ports[i].NodePort != 0 {
			continue
		}
		if creating {
			same := func(p corev1.ServicePort) bool { return p.Port == ports[i].Port && p.NodePort != 0 }
			if k := slices.IndexFunc(ports, same); k >= 0 {
				ports[i].NodePort = ports[k].NodePort
				continue
			}
		}
		p, err := a.freePort()
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("failed to allocate a nodePort: %w", err))
		}
		ports[i].NodePort = p
	}
	return nil
}

func (a *allocation) requestPort(p int32) error {
	if slices.Contains(a.had.ports, p) || a.ours[p] {
		return nil
	}
	if !a.ports.Contains(int(p)) {
		return fmt.Errorf("provided port is not in the valid range. The range of valid ports is %s", a.ports.String())
	}
	ok, err := a.claimPort(p)
	if err == nil && !ok {
		return errPortTaken
	}
	return err
}

func (a *allocation) freePort() (int32, error) {
	n := uint64(a.ports.Size)
	start := a.random(n)
	for i := range n {
		p := int32(a.ports.Base) + int32((start+i)%n)
		if slices.Contains(a.had.ports, p) || a.ours[p] {
			continue
		}
		if ok, err := a.claimPort(p); err != nil || ok {
			return p, err
		}
	}
	return 0, errPortsFull
}

// claimPort claims a port unless another Service has it. A claim whose Service
// has let it go, without releasing it (it was written by another API server),
// is taken over.
func (a *allocation) claimPort(p int32) (bool, error) {
	used, err := a.usedPorts()
	if err != nil || used[p] {
		return false, err
	}
	name := portClaim(p)
	claim := &corev1.RangeAllocation{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{claimedBy: a.svc.Namespace + "/" + a.svc.Name}},
		Range:      fmt.Sprintf("%d-%d", p, p),
	}
	stale, err := a.r.Get(a.ctx, rangesResource, "", name)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return false, err
	default:
		// What is listed after the claim was read holds the Service that has it; the
		// list from before may be older than both.
		a.used = nil
		if used, err := a.usedPorts(); err != nil || used[p] {
			return false, err
		}
		m := kind.Hub[corev1.RangeAllocation](stale).ObjectMeta
		claim.UID, claim.CreationTimestamp, claim.ResourceVersion = m.UID, m.CreationTimestamp, m.ResourceVersion
	}
	if a.ours == nil {
		a.ours = map[int32]bool{}
	}
	a.ours[p] = true
	a.out = append(a.out, resource.Companion{Resource: rangesResource, Name: name, Object: claim, Update: claim.ResourceVersion != ""})
	return true, nil
}

// portClaim names the object that stands for a port.
func portClaim(p int32) string { return "nodeport-" + strconv.Itoa(int(p)) }

func (a *allocation) releasePort(s *corev1.Service, p int32) error {
	return a.release(rangesResource, portClaim(p), func(claim runtime.Object) bool {
		return kind.Hub[corev1.RangeAllocation](claim).Annotations[claimedBy] == s.Namespace+"/"+s.Name
	})
}

func (a *allocation) usedPorts() (map[int32]bool, error) {
	if a.used != nil {
		return a.used, nil
	}
	all, err := a.r.List(a.ctx, servicesResource, "")
	if err != nil {
		return nil, err
	}
	a.used = map[int32]bool{}
	for _, obj := range all {
		s := kind.Hub[corev1.Service](obj)
		if s.Namespace == a.svc.Namespace && s.Name == a.svc.Name {
			continue
		}
		for _, p := range claimsOf(s).ports {
			a.used[p] = true
		}
	}
	return a.used, nil
}
