package podspec

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/state"
)

// Instance says what is particular to one instance of a container.
type Instance struct {
	// Restarts is how often the container was restarted before.
	Restarts int32
	// BackOff is how long to wait after this instance's end.
	BackOff time.Duration
	// ImageRef is what the runtime calls the image.
	ImageRef string
	// ImageUser is the user that the image names.
	ImageUser User
	Env       *Env
	// Mounts are those of the volumes, of /etc/hosts and the like.
	Mounts []*runtimeapi.Mount
	// TerminationLog is the file on the node that is mounted at the
	// termination message path; "" for none.
	TerminationLog string
	// Target is the id of the container whose process namespace an ephemeral
	// container joins; "" for none.
	Target string
}

// Container is the configuration of an instance of a container.
//
// # Errors
//
// Returns an error when the security context forbids to run the image, or
// command and arguments are more than a process can be given.
func Container(pod *corev1.Pod, c *corev1.Container, node *Node, in Instance) (*runtimeapi.ContainerConfig, error) {
	resources, err := json.Marshal(Effective(pod, c))
	if err != nil {
		return nil, fmt.Errorf("resources of container %s: %w", c.Name, err)
	}
	security, err := containerSecurity(pod, c, in.ImageUser, node.Seccomp)
	if err != nil {
		return nil, err
	}
	if in.Target != "" {
		security.NamespaceOptions.Pid = runtimeapi.NamespaceMode_TARGET
		security.NamespaceOptions.TargetId = in.Target
	}
	room := maxArguments - in.Env.size
	command, err := expandAll(c.Command, "command", &room, in.Env.Get)
	if err != nil {
		return nil, err
	}
	args, err := expandAll(c.Args, "args", &room, in.Env.Get)
	if err != nil {
		return nil, err
	}
	cfg := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: c.Name, Attempt: uint32(in.Restarts)},
		Image:    &runtimeapi.ImageSpec{Image: in.ImageRef, UserSpecifiedImage: c.Image},
		Command:  command,
		Args:     args,
		// The runtime uses the image's when it is empty.
		WorkingDir: c.WorkingDir,
		Mounts:     in.Mounts,
		Labels: map[string]string{
			state.LabelPodName: pod.Name, state.LabelPodNamespace: pod.Namespace,
			state.LabelPodUID: string(pod.UID), state.LabelContainerName: c.Name},
		Annotations: map[string]string{
			state.AnnotationHash:              Hash(c),
			state.AnnotationRestartCount:      strconv.Itoa(int(in.Restarts)),
			state.AnnotationBackOff:           in.BackOff.String(),
			state.AnnotationTerminationPath:   c.TerminationMessagePath,
			state.AnnotationTerminationPolicy: string(c.TerminationMessagePolicy),
			state.AnnotationResources:         string(resources),
		},
		LogPath:   LogPath(c.Name, in.Restarts),
		Stdin:     c.Stdin,
		StdinOnce: c.StdinOnce,
		Tty:       c.TTY,
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources:       ContainerResources(pod, c, node),
			SecurityContext: security,
		},
	}
	for _, name := range in.Env.names {
		cfg.Envs = append(cfg.Envs, &runtimeapi.KeyValue{Key: name, Value: []byte(in.Env.values[name])})
	}
	if in.TerminationLog != "" && filepath.IsAbs(c.TerminationMessagePath) {
		cfg.Annotations[state.AnnotationTerminationHostPath] = in.TerminationLog
		cfg.Mounts = append(cfg.Mounts, &runtimeapi.Mount{HostPath: in.TerminationLog, ContainerPath: c.TerminationMessagePath})
	}
	return cfg, nil
}
