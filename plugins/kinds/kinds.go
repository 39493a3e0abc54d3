package kinds

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/capabilities"
	"k8s.io/kubernetes/pkg/generated/openapi"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/admissionregistration"
	"github.com/pintle-io/pintle/plugins/kinds/apiextensions"
	"github.com/pintle-io/pintle/plugins/kinds/apiregistration"
	"github.com/pintle-io/pintle/plugins/kinds/apps"
	"github.com/pintle-io/pintle/plugins/kinds/authentication"
	"github.com/pintle-io/pintle/plugins/kinds/authorization"
	"github.com/pintle-io/pintle/plugins/kinds/autoscaling"
	"github.com/pintle-io/pintle/plugins/kinds/batch"
	"github.com/pintle-io/pintle/plugins/kinds/certificates"
	"github.com/pintle-io/pintle/plugins/kinds/columns"
	"github.com/pintle-io/pintle/plugins/kinds/coordination"
	"github.com/pintle-io/pintle/plugins/kinds/core"
	"github.com/pintle-io/pintle/plugins/kinds/device"
	"github.com/pintle-io/pintle/plugins/kinds/discovery"
	"github.com/pintle-io/pintle/plugins/kinds/events"
	"github.com/pintle-io/pintle/plugins/kinds/flowcontrol"
	"github.com/pintle-io/pintle/plugins/kinds/metrics"
	"github.com/pintle-io/pintle/plugins/kinds/networking"
	"github.com/pintle-io/pintle/plugins/kinds/node"
	"github.com/pintle-io/pintle/plugins/kinds/policy"
	"github.com/pintle-io/pintle/plugins/kinds/rbac"
	"github.com/pintle-io/pintle/plugins/kinds/scheduling"
	"github.com/pintle-io/pintle/plugins/kinds/storage"
	"github.com/pintle-io/pintle/plugins/kinds/storagemigration"
	"github.com/pintle-io/pintle/plugins/kinds/typeconverter"
)

// Options are what kinds depend on. The zero value of a field takes the
// default beside it.
type Options struct {
	// ServiceCIDRs are the ranges of ClusterIPs, of one or both IP families,
	// the primary family first: 10.96.0.0/16. ServiceCIDR objects add to them.
	ServiceCIDRs []netip.Prefix
	// NodePorts is the range of node ports: 30000-32767.
	NodePorts utilnet.PortRange
	// ForbidPrivileged refuses pods, and templates of pods, with privileged
	// containers. Upstream's validation keeps this once for the whole process:
	// a second table that wants it otherwise is an error.
	ForbidPrivileged bool
	// Clock gives the times that hooks write; nil is the real clock.
	Clock clock.PassiveClock
}

func (o *Options) setDefaults() {
	if len(o.ServiceCIDRs) == 0 {
		o.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}
	}
	if o.NodePorts.Size == 0 {
		o.NodePorts = utilnet.PortRange{Base: 30000, Size: 2768}
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
}

func (o *Options) validate() error {
	var errs []error
	families := map[bool]bool{}
	for _, p := range o.ServiceCIDRs {
		switch {
		case !p.IsValid() || p != p.Masked():
			errs = append(errs, fmt.Errorf("service CIDR %s is not a network", p))
		case families[p.Addr().Is4()]:
			errs = append(errs, fmt.Errorf("service CIDR %s: there is another of its IP family", p))
		case p.Addr().BitLen()-p.Bits() < 2:
			errs = append(errs, fmt.Errorf("service CIDR %s is too small", p))
		}
		families[p.Addr().Is4()] = true
	}
	if o.NodePorts.Base < 1 || o.NodePorts.Base+o.NodePorts.Size > 65536 {
		errs = append(errs, fmt.Errorf("node ports %s: not within 1-65535", o.NodePorts.String()))
	}
	return errors.Join(errs...)
}

// setCapabilities says what validation allows containers to ask for.
func (o *Options) setCapabilities() error {
	want := !o.ForbidPrivileged
	capabilities.Setup(want, 0)
	if capabilities.Get().AllowPrivileged != want {
		return fmt.Errorf("privileged containers: another table of this process has allowed=%t, want %t", !want, want)
	}
	return nil
}

// Extension adds kinds to a table before it is indexed: types to Scheme,
// definitions, and schemas to OpenAPI. Kinds without columns of
// their own print name and age. An extension that wants others wraps Columns.
type Extension func(*resource.Table) error

// Table makes the table of all built-in kinds and of the extensions' kinds.
func Table(opts Options, ext ...Extension) (*resource.Table, error) {
	opts.setDefaults()
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("kinds: %w", err)
	}
	if err := opts.setCapabilities(); err != nil {
		return nil, fmt.Errorf("kinds: %w", err)
	}
	if err := addTypes(); err != nil {
		return nil, fmt.Errorf("kinds: %w", err)
	}
	scheme := legacyscheme.Scheme
	t := &resource.Table{
		Scheme:        scheme,
		GroupOrder:    groupOrder,
		Columns:       columns.New(scheme),
		OpenAPI:       openapi.GetOpenAPIDefinitions,
		TypeConverter: typeconverter.New(scheme),
	}
	t.Definitions = slices.Concat(
		core.Kinds(core.Options{ServiceCIDRs: opts.ServiceCIDRs, NodePorts: opts.NodePorts, Clock: opts.Clock}),
		events.Kinds(), apps.Kinds(), autoscaling.Kinds(), batch.Kinds(), certificates.Kinds(opts.Clock), policy.Kinds(),
		scheduling.Kinds(), coordination.Kinds(), node.Kinds(), flowcontrol.Kinds(), storagemigration.Kinds(), discovery.Kinds(),
		networking.Kinds(), storage.Kinds(), authentication.Kinds(), authorization.Kinds(), rbac.Kinds(), device.Kinds(opts.Clock),
		admissionregistration.Kinds(), apiextensions.Kinds(), apiregistration.Kinds(), metrics.Kinds(),
	)
	for _, e := range ext {
		if err := e(t); err != nil {
			return nil, fmt.Errorf("kinds: extension: %w", err)
		}
	}
	if err := t.Index(); err != nil {
		return nil, fmt.Errorf("kinds: %w", err)
	}
	return t, nil
}

// addTypes adds what the install packages leave out, once: tables share the
// scheme and may be in use.
var addTypes = sync.OnceValue(func() error {
	apiregistration.Install(legacyscheme.Scheme)
	metrics.Install(legacyscheme.Scheme)
	return errors.Join(apiextensions.Install(legacyscheme.Scheme), metav1.AddMetaToScheme(legacyscheme.Scheme))
})

// groupOrder is upstream's order of discovery.
var groupOrder = []string{
	"", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "autoscaling",
	"batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io", "storage.k8s.io",
	"admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io", "coordination.k8s.io", "node.k8s.io",
	"discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io", "storagemigration.k8s.io", "metrics.k8s.io",
}
