package core

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

var (
	proxyVerbs   = []string{"create", "delete", "get", "patch", "update"}
	connectVerbs = []string{"create", "get"}
)

// podConnections are the subresources that lead to the pod's node agent, by
// the paths and parameters of the kubelet's API, or to the pod itself.
func podConnections() []resource.Subresource {
	kind := corev1.SchemeGroupVersion.WithKind
	return []resource.Subresource{
		{Name: "attach", Style: resource.StyleConnect, Verbs: connectVerbs, Kind: kind("PodAttachOptions"), Connect: connectAttach, Options: options[corev1.PodAttachOptions]},
		{Name: "exec", Style: resource.StyleConnect, Verbs: connectVerbs, Kind: kind("PodExecOptions"), Connect: connectExec, Options: options[corev1.PodExecOptions]},
		{Name: "log", Style: resource.StyleConnect, Verbs: []string{"get"}, Connect: connectLog},
		{Name: "portforward", Style: resource.StyleConnect, Verbs: connectVerbs, Kind: kind("PodPortForwardOptions"), Connect: connectPortForward, Options: options[corev1.PodPortForwardOptions]},
		{Name: "proxy", Style: resource.StyleConnect, Verbs: proxyVerbs, Kind: kind("PodProxyOptions"), Connect: connectPodProxy,
			Options: func(path string, _ map[string][]string) (runtime.Object, error) {
				return &corev1.PodProxyOptions{Path: path}, nil
			}},
	}
}

func connectLog(ctx context.Context, r resource.Reader, obj runtime.Object, _ string, query map[string][]string) (*resource.Target, error) {
	p := kind.Hub[corev1.Pod](obj)
	o := &corev1.PodLogOptions{}
	if err := parameters(query, o); err != nil {
		return nil, err
	}
	in := &core.PodLogOptions{}
	if err := legacyscheme.Scheme.Convert(o, in, nil); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if errs := validation.ValidatePodLogOptions(in, false); len(errs) > 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("PodLogOptions").GroupKind(), p.Name, errs)
	}
	container, err := chooseContainer(p, o.Container)
	if err != nil || p.Spec.NodeName == "" {
		return nil, err // a pod without a node has logged nothing
	}
	// The kubelet's path of logs has no place for the UID.
	q := map[string][]string{"uid": {string(p.UID)}}
	flag(q, "follow", o.Follow)
	flag(q, "previous", o.Previous)
	flag(q, "timestamps", o.Timestamps)
	number(q, "sinceSeconds", o.SinceSeconds)
	number(q, "tailLines", o.TailLines)
	number(q, "limitBytes", o.LimitBytes)
	if o.SinceTime != nil {
		q["sinceTime"] = []string{o.SinceTime.Format(time.RFC3339)}
	}
	return toPod(ctx, r, p, fmt.Sprintf("/containerLogs/%s/%s/%s", p.Namespace, p.Name, container), q)
}

func connectExec(ctx context.Context, r resource.Reader, obj runtime.Object, _ string, query map[string][]string) (*resource.Target, error) {
	o := &corev1.PodExecOptions{}
	if err := parameters(query, o); err != nil {
		return nil, err
	}
	q := streams(o.Stdin, o.Stdout, o.Stderr, o.TTY)
	if len(o.Command) > 0 {
		q["command"] = o.Command
	}
	p := kind.Hub[corev1.Pod](obj)
	return upgrade(toContainer(ctx, r, p, fmt.Sprintf("/exec/%s/%s/%s", p.Namespace, p.Name, p.UID), o.Container, q))
}

func connectAttach(ctx context.Context, r resource.Reader, obj runtime.Object, _ string, query map[string][]string) (*resource.Target, error) {
	o := &corev1.PodAttachOptions{}
	if err := parameters(query, o); err != nil {
		return nil, err
	}
	p := kind.Hub[corev1.Pod](obj)
	return upgrade(toContainer(ctx, r, p, fmt.Sprintf("/attach/%s/%s/%s", p.Namespace, p.Name, p.UID), o.Container,
		streams(o.Stdin, o.Stdout, o.Stderr, o.TTY)))
}

func connectPortForward(ctx context.Context, r resource.Reader, obj runtime.Object, _ string, query map[string][]string) (*resource.Target, error) {
	p := kind.Hub[corev1.Pod](obj)
	o := &corev1.PodPortForwardOptions{}
	if err := parameters(query, o); err != nil {
		return nil, err
	}
	q := map[string][]string{}
	if len(o.Ports) > 0 {
		ports := make([]string, len(o.Ports))
		for i, port := range o.Ports {
			ports[i] = strconv.Itoa(int(port))
		}
		q[corev1.PortHeader] = []string{strings.Join(ports, ",")}
	}
	return upgrade(toPod(ctx, r, p, fmt.Sprintf("/portForward/%s/%s/%s", p.Namespace, p.Name, p.UID), q))
}

func connectPodProxy(ctx context.Context, _ resource.Reader, obj runtime.Object, path string, query map[string][]string) (*resource.Target, error) {
	p := kind.Hub[corev1.Pod](obj)
	scheme, port := resource.ProxyPort(ctx)
	if port == "" {
		port = firstPort(p)
	}
	ip, err := netip.ParseAddr(podIP(p))
	if err != nil || !ip.IsGlobalUnicast() {
		return nil, apierrors.NewBadRequest("address not allowed")
	}
	return proxyTarget(scheme, ip.String(), port, path, query), nil
}

func firstPort(p *corev1.Pod) string {
	for _, c := range p.Spec.Containers {
		if len(c.Ports) > 0 {
			return strconv.Itoa(int(c.Ports[0].ContainerPort))
		}
	}
	return ""
}

// proxyTarget is a plain request; the port may be left to the scheme.
func proxyTarget(scheme, host, port, path string, query map[string][]string) *resource.Target {
	if scheme == "" {
		scheme = "http"
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return &resource.Target{Scheme: scheme, Host: host, Path: rooted(path), Query: query}
}

// rooted is the path of a proxied request. None at all stays none: a client that
// asks for it is sent to "/", so that links of the page are right.
func rooted(path string) string {
	if path == "" || strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}

// parameters reads a query into options of v1, with their defaults.
func parameters(query map[string][]string, into runtime.Object) error {
	if err := legacyscheme.ParameterCodec.DecodeParameters(url.Values(query), corev1.SchemeGroupVersion, into); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

// options are those of a connect request, as admission rules see them.
func options[T any, P interface {
	*T
	runtime.Object
}](_ string, query map[string][]string) (runtime.Object, error) {
	o := P(new(T))
	return o, parameters(query, o)
}

func flag(q map[string][]string, name string, on bool) {
	if on {
		q[name] = []string{"true"}
	}
}

func number(q map[string][]string, name string, n *int64) {
	if n != nil {
		q[name] = []string{strconv.FormatInt(*n, 10)}
	}
}

// streams are the agent's parameters for the streams of exec and attach.
func streams(stdin, stdout, stderr, tty bool) map[string][]string {
	q := map[string][]string{}
	for name, on := range map[string]bool{
		corev1.ExecStdinParam: stdin, corev1.ExecStdoutParam: stdout, corev1.ExecStderrParam: stderr, corev1.ExecTTYParam: tty,
	} {
		if on {
			q[name] = []string{"1"}
		}
	}
	return q
}

func upgrade(t *resource.Target, err error) (*resource.Target, error) {
	if t != nil {
		t.Upgrade = true
	}
	return t, err
}

func toContainer(ctx context.Context, r resource.Reader, p *corev1.Pod, path, container string, query map[string][]string) (*resource.Target, error) {
	container, err := chooseContainer(p, container)
	if err != nil {
		return nil, err
	}
	return toPod(ctx, r, p, path+"/"+container, query)
}

func toPod(ctx context.Context, r resource.Reader, p *corev1.Pod, path string, query map[string][]string) (*resource.Target, error) {
	if p.Spec.NodeName == "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", p.Name))
	}
	t, err := toNode(ctx, r, p.Spec.NodeName)
	if err != nil {
		return nil, err
	}
	t.Path, t.Query = path, query
	return t, nil
}

// defaultContainer names the container that a pod's author means when none is
// named.
const defaultContainer = "kubectl.kubernetes.io/default-container"

func chooseContainer(p *corev1.Pod, name string) (string, error) {
	var all []string
	for _, c := range p.Spec.InitContainers {
		all = append(all, c.Name)
	}
	for _, c := range p.Spec.Containers {
		all = append(all, c.Name)
	}
	for _, c := range p.Spec.EphemeralContainers {
		all = append(all, c.Name)
	}
	if name != "" {
		if !slices.Contains(all, name) {
			return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, p.Name))
		}
		return name, nil
	}
	if d := p.Annotations[defaultContainer]; slices.Contains(all, d) {
		return d, nil
	}
	switch len(p.Spec.Containers) {
	case 0:
		return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s", p.Name))
	case 1:
		return p.Spec.Containers[0].Name, nil
	}
	return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s, choose one of: %s", p.Name, all))
}
