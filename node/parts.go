package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/node/api"
	"github.com/pintle-io/pintle/node/api/access"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/checkpoint"
	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/membership"
	"github.com/pintle-io/pintle/node/pod"
	"github.com/pintle-io/pintle/node/podcertificate"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/source"
	"github.com/pintle-io/pintle/node/stats"
	"github.com/pintle-io/pintle/node/volume"
	"github.com/pintle-io/pintle/node/volume/localpath"
	"github.com/pintle-io/pintle/node/volume/projected"
)

// parts are the agent's parts, wired.
type parts struct {
	agent    *Agent
	about    *podspec.Node
	events   record.EventBroadcaster
	services corelisters.ServiceLister
	drainer  *drainer
	sources  *source.Store
	certs    *podcertificate.Manager
	images   *image.Puller
	collect  *image.Collector
	volumes  *volume.Manager
	workers  *pod.Workers
	watcher  *cri.Watcher
	member   *membership.Member
	api      *api.Server
	stats    *stats.Source
	network  atomic.Bool // the pod network is configured and the runtime agrees
	down     atomic.Pointer[string]
}

// wire makes the parts. Nothing runs yet.
func (a *Agent) wire(cgroups *cgroup.System, about *podspec.Node, runtimeVersion string, features cri.Features) *parts {
	cfg := &a.cfg
	p := &parts{agent: a, about: about}
	node := func() *podspec.Node { return p.about }
	p.network.Store(cfg.Network == nil)
	p.events = record.NewBroadcaster()
	recorder := p.events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "kubelet", Host: cfg.Name})
	p.services = corelisters.NewServiceLister(p.agent.informers.Services().GetIndexer())
	p.drainer = newDrainer(cfg.Name, cfg.Draining, cfg.DrainGrace)
	// Sources tell the workers of changes, and the workers ask the sources.
	p.sources = source.New(a.client, func(uid types.UID) { p.workers.SourceChanged(uid) }, cfg.Log)
	p.certs = podcertificate.New(podcertificate.Config{Client: a.client, NodeName: cfg.Name, NodeUID: p.uid,
		Changed: func(uid types.UID) { p.workers.SourceChanged(uid) }, Recorder: recorder, Log: cfg.Log})
	p.images = image.New(image.Config{Runtime: a.runtime.Images, Secret: p.sources.Secret, Log: cfg.Log})
	p.collect = &image.Collector{Puller: p.images, High: cfg.ImageGCHigh, Low: cfg.ImageGCLow,
		Spare: []string{cfg.SandboxImage}, InUse: p.imagesInUse}
	scheme, _, _ := strings.Cut(runtimeVersion, "://")
	p.volumes = volume.New(volume.Config{
		Root: cfg.dir("pods"), Staging: cfg.dir("staged"), Claim: claims{a.client}.volume, Fits: p.fits, RecursiveReadOnly: p.recursiveReadOnly(features), Node: node, Log: cfg.Log,
		Drivers: volume.Standard(localpath.Driver{Root: cfg.localVolumes(), Node: cfg.Name}, projected.Config{Sources: p.sources, Bundles: p.sources, Token: p.token, Credential: p.certs.Credential, Node: node, Log: cfg.Log}),
	})
	p.workers = pod.NewWorkers(pod.Config{
		Client: a.client, Runtime: a.runtime, RuntimeName: scheme, ImageMounts: features.ImageMounts,
		Volumes: p.volumes, Images: p.images, Sources: held{p.sources, p.certs}, Cgroups: cgroups, CgroupParent: cfg.podGroup(), Allocations: checkpoint.New(cfg.dir("allocations")), Recorder: recorder, Node: node,
		Services: p.listServices, NetworkReady: p.network.Load, Draining: p.drainer.drain, DrainTimeout: cfg.DrainTimeout,
		Admit: p.admit(features), PIDs: cfg.PodPIDs, Prober: probe.Network{Exec: a.runtime.Exec}, Log: cfg.Log,
	})
	p.watcher = cri.NewWatcher(a.runtime, p.workers.Notify, cfg.Log)
	nodeGroup := cfg.Cgroup
	if cfg.WholeMachine {
		nodeGroup = "/"
	}
	p.stats = &stats.Source{NodeName: cfg.Name, Cgroups: cgroups, NodeGroup: nodeGroup, PodGroup: cfg.podGroup(), Pods: p.workers.Pods}
	for _, m := range []prometheus.Collector{metrics(p.workers.Pods), p.certs} {
		if err := cfg.Metrics.Register(m); err != nil {
			cfg.Log.Debug("metrics are registered already", "error", err) // by an agent before, in this process
		}
	}
	p.api = api.New(api.Config{Pods: p.workers.Pods, Runtime: a.runtime, Stats: p.stats, Metrics: cfg.Metrics, Profiling: cfg.Profiling,
		SystemLogs: systemLogs, Healthy: p.healthy, Names: cfg.Callers, Access: access.New(a.client, cfg.Name), Log: cfg.Log})
	p.member = p.membership(runtimeVersion)
	return p
}

// systemLogs is where a machine's logs are.
const systemLogs = "/var/log"

// What this agent declares to know how to do, by upstream's names, in order: whoever
// asks for it of a node that does not is refused, rather than not heard.
const (
	podLevelResize       = "InPlacePodLevelResourcesVerticalScaling"
	initContainersResize = "InPlacePodVerticalScalingInitContainers"
	restartAllContainers = "RestartAllContainersOnContainerExits"
)

func (p *parts) membership(runtimeVersion string) *membership.Member {
	cfg := &p.agent.cfg
	addresses := []corev1.NodeAddress{}
	for _, ip := range p.about.IPs {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: cfg.Name})
	return membership.New(membership.Config{
		Client: p.agent.client, Name: cfg.Name, Labels: cfg.Labels, Taints: cfg.Taints, Addresses: addresses,
		Capacity: p.agent.capacity(), Allocatable: p.about.Allocatable, Info: membership.Info(runtimeVersion), Port: port(cfg.Listen),
		Annotations:      map[string]string{localpath.DirectoryAnnotation: cfg.localVolumes(), managedAttach: "true"},
		DeclaredFeatures: []string{podLevelResize, initContainersResize, restartAllContainers},
		LeaseDuration:    cfg.LeaseDuration, StatusInterval: cfg.StatusInterval, ReportInterval: cfg.ReportInterval,
		Health: p.health, Images: p.listImages, Log: cfg.Log,
	})
}

// managedAttach is the annotation of a node whose volumes are attached by the cluster's
// controller, and not by its agent.
const managedAttach = "volumes.kubernetes.io/controller-managed-attach-detach"

func port(listen string) int32 {
	a, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return 0
	}
	return int32(a.Port)
}

// run runs the parts until ctx ends.
func (p *parts) run(ctx context.Context, ln net.Listener) error {
	p.events.StartRecordingToSink(eventSink{&typedcorev1.EventSinkImpl{Interface: p.agent.client.CoreV1().Events("")}})
	defer p.events.Shutdown()
	group, ctx := errgroup.WithContext(ctx)
	if ln != nil {
		group.Go(func() error { return p.api.Serve(ctx, ln, p.agent.cfg.Serving, p.agent.cfg.ClientCAs) })
	}
	first, err := p.member.Register(ctx)
	if first == nil {
		return group.Wait() // ctx has ended; nothing else keeps Register from succeeding
	}
	if err != nil {
		p.agent.cfg.Log.Warn("node status not reported yet", "error", err)
	}
	p.agent.cfg.Log.Info("node registered", "node", p.agent.cfg.Name)
	if p.agent.cfg.Informers == nil {
		group.Go(func() error { _ = p.agent.informers.Run(ctx); return nil }) // ends only with ctx
	}
	group.Go(func() error { return p.member.Run(ctx) })
	group.Go(func() error { return p.sources.Run(ctx) })
	group.Go(func() error { return p.certs.Run(ctx) })
	group.Go(func() error { return p.workers.Run(ctx) })
	group.Go(func() error { return p.watcher.Run(ctx) })
	group.Go(func() error { return p.collect.Run(ctx) })
	group.Go(func() error { return p.rotateLogs(ctx) })
	group.Go(func() error { return p.keepLocalVolumes(ctx) })
	group.Go(func() error { return p.configureNetwork(ctx, first) })
	group.Go(func() error { return p.prefetch(ctx) })
	group.Go(func() error { return p.follow(ctx) })
	return group.Wait()
}

// follow brings the workers the pods of this node, from the API.
func (p *parts) follow(ctx context.Context) error {
	if _, err := p.agent.informers.EndpointSlices().AddEventHandler(p.drainer.handler()); err != nil {
		return fmt.Errorf("follow endpoint slices: %w", err)
	}
	// A container's environment names the Services that exist: they are known
	// before the first pod starts. What the node is decides which pods may.
	if !cache.WaitForCacheSync(ctx.Done(), p.agent.informers.Services().HasSynced, p.agent.informers.Nodes().HasSynced) {
		return nil
	}
	if err := p.workers.Adopt(ctx); err != nil {
		return nil // ctx has ended
	}
	handled, err := p.agent.informers.Pods().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { p.deliver(obj, false) },
		UpdateFunc: func(_, obj any) { p.deliver(obj, false) },
		DeleteFunc: func(obj any) { p.deliver(obj, true) },
	})
	if err != nil {
		return fmt.Errorf("follow pods: %w", err)
	}
	if !cache.WaitForCacheSync(ctx.Done(), handled.HasSynced) {
		return nil
	}
	p.workers.Open()
	close(p.agent.ready)
	return p.workers.Sweep(ctx)
}

func (p *parts) deliver(obj any, gone bool) {
	if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = t.Obj
	}
	pod, ok := obj.(*corev1.Pod)
	switch {
	case !ok:
	case gone:
		p.workers.Remove(pod)
	default:
		p.workers.Update(pod)
	}
}

func (p *parts) listServices() []*corev1.Service {
	list, err := p.services.List(labels.Everything())
	if err != nil {
		return nil
	}
	return list
}

func (p *parts) imagesInUse(ctx context.Context) (map[string]bool, error) {
	pods, err := p.agent.runtime.Pods(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, pod := range pods {
		for _, c := range pod.Containers {
			out[c.Image], out[c.ImageRef] = true, true
		}
	}
	return out, p.imageVolumesInUse(ctx, out)
}

// imageVolumesInUse adds the images that pods mount.
func (p *parts) imageVolumesInUse(ctx context.Context, out map[string]bool) error {
	for _, pod := range p.workers.Pods() {
		for i := range pod.Spec.Volumes {
			src := pod.Spec.Volumes[i].Image
			if src == nil {
				continue
			}
			img, err := p.agent.runtime.Images.Get(ctx, src.Reference)
			if err != nil {
				return err
			}
			if img != nil {
				out[img.ID] = true
			}
		}
	}
	return nil
}

// listImages are the node's images as the scheduler wants them, largest first.
func (p *parts) listImages(ctx context.Context) []corev1.ContainerImage {
	images, err := p.agent.runtime.Images.List(ctx)
	if err != nil {
		return nil
	}
	slices.SortFunc(images, func(a, b *cri.Image) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(a.ID, b.ID))
	})
	var out []corev1.ContainerImage
	for _, i := range images {
		if names := slices.Concat(i.Digests, i.Tags); len(names) > 0 {
			out = append(out, corev1.ContainerImage{Names: names[:min(len(names), 5)], SizeBytes: int64(i.Size)})
		}
	}
	return out
}

// prefetch pulls the sandbox image, so that the first pod need not wait for it.
func (p *parts) prefetch(ctx context.Context) error {
	for retry := backoff.New(time.Second, time.Minute); p.agent.cfg.SandboxImage != "" && p.agent.cfg.RuntimeEndpoint == ""; {
		img, err := p.agent.runtime.Images.Get(ctx, p.agent.cfg.SandboxImage)
		if err == nil && img == nil {
			_, err = p.agent.runtime.Images.Pull(ctx, p.agent.cfg.SandboxImage, nil, nil)
		}
		if err == nil || ctx.Err() != nil {
			retry.Succeeded(p.agent.cfg.Log)
			return nil
		}
		if !sleep(ctx, retry.Failed(p.agent.cfg.Log, "sandbox image not pulled", err, "image", p.agent.cfg.SandboxImage)) {
			return nil
		}
	}
	return nil
}

// podCIDR is the range of pod addresses that a node was given.
func podCIDR(n *corev1.Node) (netip.Prefix, error) {
	if n.Spec.PodCIDR == "" {
		return netip.Prefix{}, errors.New("the node has no range of pod addresses yet")
	}
	return netip.ParsePrefix(n.Spec.PodCIDR)
}
