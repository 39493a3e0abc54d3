package podspec

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Sources looks up the objects that a pod's environment refers to. A nil
// object with a nil error means that it does not exist.
type Sources interface {
	ConfigMap(namespace, name string) (*corev1.ConfigMap, error)
	Secret(namespace, name string) (*corev1.Secret, error)
}

// Env is the environment of a container, in the order in which it was
// defined; a name defined twice keeps its first place and last value.
type Env struct {
	names  []string
	values map[string]string
	size   int // of all, as a process is given them
}

// errTooMuch says that a container's variables and arguments are too many.
var errTooMuch = fmt.Errorf("environment and arguments have more than %d KiB together, which no process can be started with (enableServiceLinks: false leaves out the variables of Services)", maxArguments>>10)

func (e *Env) set(name, value string) error {
	old, ok := e.values[name]
	switch size := len(name) + len("=") + len(value) + 1; {
	case size > maxString:
		return tooLong("variable " + name)
	case ok:
		e.size += len(value) - len(old)
	default:
		e.names = append(e.names, name)
		e.size += size
	}
	e.values[name] = value
	if e.size > maxArguments {
		return errTooMuch
	}
	return nil
}

// Get returns a variable.
func (e *Env) Get(name string) (string, bool) {
	v, ok := e.values[name]
	return v, ok
}

// MissingError says that a pod refers to something that does not exist (yet).
type MissingError struct{ text string }

// Error names what is missing, in upstream's words.
func (e *MissingError) Error() string { return e.text }

// Missing makes a MissingError.
func Missing(format string, args ...any) error { return &MissingError{fmt.Sprintf(format, args...)} }

// Environment builds a container's variables: those of the Services, then
// envFrom, then env.
//
// # Errors
//
// *MissingError when a ConfigMap, Secret or key that is not optional does not
// exist. Another error when the variables are more than a process can be given.
func Environment(pod *corev1.Pod, c *corev1.Container, node *Node, podIPs []string, services []*corev1.Service, src Sources, files Files) (*Env, error) {
	e := &Env{values: map[string]string{}}
	links := pod.Spec.EnableServiceLinks == nil || *pod.Spec.EnableServiceLinks
	if err := serviceEnv(e, pod.Namespace, services, links); err != nil {
		return nil, err
	}
	for i := range c.EnvFrom {
		if err := envFrom(e, pod.Namespace, &c.EnvFrom[i], src); err != nil {
			return nil, err
		}
	}
	// Values of env see what was defined before them, and the services.
	for i := range c.Env {
		v := &c.Env[i]
		if v.ValueFrom == nil {
			value, err := Expand(v.Value, e.Get)
			if err != nil {
				return nil, tooLong("variable " + v.Name)
			}
			if err := e.set(v.Name, value); err != nil {
				return nil, err
			}
			continue
		}
		value, ok, err := valueFrom(pod, c, v.ValueFrom, node, podIPs, src, files)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if err := e.set(v.Name, value); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func valueFrom(pod *corev1.Pod, c *corev1.Container, from *corev1.EnvVarSource, node *Node, podIPs []string, src Sources, files Files) (value string, ok bool, err error) {
	switch {
	case from.FieldRef != nil:
		value, err = Field(pod, from.FieldRef.FieldPath, node, podIPs)
		return value, err == nil, err
	case from.ResourceFieldRef != nil:
		value, err = ResourceField(pod, c, from.ResourceFieldRef, node.Allocatable)
		return value, err == nil, err
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		m, err := src.ConfigMap(pod.Namespace, ref.Name)
		if err != nil {
			return "", false, err
		}
		if m != nil {
			value, ok = m.Data[ref.Key]
		}
		return value, ok, missing(ok, m == nil, ref.Optional, "ConfigMap", pod.Namespace, ref.Name, ref.Key)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		s, err := src.Secret(pod.Namespace, ref.Name)
		if err != nil {
			return "", false, err
		}
		var b []byte
		if s != nil {
			b, ok = s.Data[ref.Key]
		}
		return string(b), ok, missing(ok, s == nil, ref.Optional, "Secret", pod.Namespace, ref.Name, ref.Key)
	}
	if from.FileKeyRef != nil {
		return fromFile(pod, from.FileKeyRef, files)
	}
	return "", false, fmt.Errorf("unsupported source of an environment variable")
}

func missing(found, object bool, optional *bool, kind, namespace, name, key string) error {
	if found || deref(optional) {
		return nil
	}
	if object {
		return Missing("%s %q not found", strings.ToLower(kind), name)
	}
	return Missing("couldn't find key %s in %s %s/%s", key, kind, namespace, name)
}

func envFrom(e *Env, namespace string, from *corev1.EnvFromSource, src Sources) error {
	values := map[string]string{}
	switch {
	case from.ConfigMapRef != nil:
		m, err := src.ConfigMap(namespace, from.ConfigMapRef.Name)
		if err != nil {
			return err
		}
		if m == nil {
			return missing(false, true, from.ConfigMapRef.Optional, "ConfigMap", namespace, from.ConfigMapRef.Name, "")
		}
		values = m.Data
	case from.SecretRef != nil:
		s, err := src.Secret(namespace, from.SecretRef.Name)
		if err != nil {
			return err
		}
		if s == nil {
			return missing(false, true, from.SecretRef.Optional, "Secret", namespace, from.SecretRef.Name, "")
		}
		for k, v := range s.Data {
			values[k] = string(v)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if name := from.Prefix + k; validName(name) {
			if err := e.set(name, values[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// validName leaves out keys that no environment can hold.
func validName(s string) bool {
	return s != "" && !strings.ContainsAny(s, "=\x00")
}

// serviceEnv defines the variables of the Services of the pod's namespace
// (when links is set) and of the API server's.
func serviceEnv(e *Env, namespace string, services []*corev1.Service, links bool) error {
	seen := map[string]*corev1.Service{}
	for _, s := range services {
		if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == corev1.ClusterIPNone || len(s.Spec.Ports) == 0 {
			continue
		}
		master := s.Namespace == corev1.NamespaceDefault && s.Name == "kubernetes"
		switch {
		case s.Namespace == namespace && links:
			seen[s.Name] = s
		case master && seen[s.Name] == nil:
			seen[s.Name] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		if err := oneService(e, seen[name]); err != nil {
			return err
		}
	}
	return nil
}

func oneService(e *Env, s *corev1.Service) error {
	var full error
	set := func(name, value string) {
		if full == nil {
			full = e.set(name, value)
		}
	}
	name := envName(s.Name)
	set(name+"_SERVICE_HOST", s.Spec.ClusterIP)
	for i, p := range s.Spec.Ports {
		port := strconv.Itoa(int(p.Port))
		if i == 0 {
			set(name+"_SERVICE_PORT", port)
		}
		if p.Name != "" {
			set(name+"_SERVICE_PORT_"+envName(p.Name), port)
		}
	}
	for i, p := range s.Spec.Ports { // the form of docker's links
		proto := strings.ToLower(string(p.Protocol))
		if proto == "" {
			proto = "tcp"
		}
		port := strconv.Itoa(int(p.Port))
		url := proto + "://" + net.JoinHostPort(s.Spec.ClusterIP, port)
		if i == 0 {
			set(name+"_PORT", url)
		}
		prefix := name + "_PORT_" + port + "_" + strings.ToUpper(proto)
		set(prefix, url)
		set(prefix+"_PROTO", proto)
		set(prefix+"_PORT", port)
		set(prefix+"_ADDR", s.Spec.ClusterIP)
	}
	return full
}

func envName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }
