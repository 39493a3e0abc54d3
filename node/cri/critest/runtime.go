// Package critest is a container runtime for tests: it speaks CRI on a unix
// socket and keeps books, but runs nothing. Calls can be delayed, failed and
// listened to.
package critest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/cri"
)

// Runtime is the runtime. Its containers run until they are stopped.
type Runtime struct {
	runtimeapi.UnimplementedRuntimeServiceServer
	runtimeapi.UnimplementedImageServiceServer

	// Client is connected with the runtime.
	Client *cri.Client
	// Now is the runtime's clock. It is set before the first call.
	Now func() time.Time

	mu         sync.Mutex
	before     func(ctx context.Context, call, id string) error
	calls      []string
	ids        int
	sandboxes  map[string]*runtimeapi.PodSandbox
	containers map[string]*runtimeapi.ContainerStatus
	within     map[string]string // container → sandbox
}

// New starts a runtime; it ends with the test. before, which may be nil, is
// called before each call takes effect, with the name of the container or pod
// that it is about; its error is the call's.
func New(t testing.TB, before func(ctx context.Context, call, name string) error) *Runtime {
	t.Helper()
	r := &Runtime{before: before, Now: time.Now, sandboxes: map[string]*runtimeapi.PodSandbox{},
		containers: map[string]*runtimeapi.ContainerStatus{}, within: map[string]string{}}
	socket := filepath.Join(t.TempDir(), "cri.sock")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	runtimeapi.RegisterRuntimeServiceServer(srv, r)
	runtimeapi.RegisterImageServiceServer(srv, r)
	go func() { _ = srv.Serve(ln) }()
	if r.Client, err = cri.Connect("unix://" + socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Client.Close()
		srv.Stop()
	})
	return r
}

// Calls lists the calls so far, as "StopContainer app".
func (r *Runtime) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.calls...)
}

// Count is how often a call was made, by its text in Calls.
func (r *Runtime) Count(call string) int {
	n := 0
	for _, c := range r.Calls() {
		if c == call {
			n++
		}
	}
	return n
}

// Empty reports whether the runtime holds nothing.
func (r *Runtime) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sandboxes)+len(r.containers) == 0
}

// Running reports whether a container of that name runs.
func (r *Runtime) Running(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.Metadata.Name == name && c.State == runtimeapi.ContainerState_CONTAINER_RUNNING {
			return true
		}
	}
	return false
}

// Exit ends the running container of that name.
func (r *Runtime) Exit(name string, code int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.Metadata.Name == name {
			exit(c, code, r.Now())
		}
	}
}

func exit(c *runtimeapi.ContainerStatus, code int32, now time.Time) {
	if c.State == runtimeapi.ContainerState_CONTAINER_RUNNING {
		c.State, c.ExitCode, c.FinishedAt = runtimeapi.ContainerState_CONTAINER_EXITED, code, now.UnixNano()
	}
}

// call notes a call and asks before.
func (r *Runtime) call(ctx context.Context, call, id string) error {
	r.mu.Lock()
	name := id
	if c := r.containers[id]; c != nil {
		name = c.Metadata.Name
	} else if s := r.sandboxes[id]; s != nil {
		name = s.Metadata.Name
	}
	r.calls = append(r.calls, call+" "+name)
	r.mu.Unlock()
	if r.before == nil {
		return nil
	}
	return r.before(ctx, call, name)
}

// created is a time that no other thing was made at.
func (r *Runtime) created() int64 { return r.Now().UnixNano() + int64(r.ids) }

func (r *Runtime) id(kind string) string {
	r.ids++
	return fmt.Sprintf("%s%d", kind, r.ids)
}

// RunPodSandbox makes a sandbox.
func (r *Runtime) RunPodSandbox(ctx context.Context, q *runtimeapi.RunPodSandboxRequest) (*runtimeapi.RunPodSandboxResponse, error) {
	if err := r.call(ctx, "RunPodSandbox", q.Config.Metadata.Name); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.id("sandbox")
	r.sandboxes[id] = &runtimeapi.PodSandbox{Id: id, Metadata: q.Config.Metadata, Labels: q.Config.Labels, CreatedAt: r.created()}
	return &runtimeapi.RunPodSandboxResponse{PodSandboxId: id}, nil
}

// StopPodSandbox stops a sandbox and what is in it.
func (r *Runtime) StopPodSandbox(ctx context.Context, q *runtimeapi.StopPodSandboxRequest) (*runtimeapi.StopPodSandboxResponse, error) {
	if err := r.call(ctx, "StopPodSandbox", q.PodSandboxId); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sandboxes[q.PodSandboxId]; s != nil {
		s.State = runtimeapi.PodSandboxState_SANDBOX_NOTREADY
	}
	for id, c := range r.containers {
		if r.within[id] == q.PodSandboxId {
			exit(c, 137, r.Now())
		}
	}
	return &runtimeapi.StopPodSandboxResponse{}, nil
}

// RemovePodSandbox removes a sandbox and what is in it.
func (r *Runtime) RemovePodSandbox(ctx context.Context, q *runtimeapi.RemovePodSandboxRequest) (*runtimeapi.RemovePodSandboxResponse, error) {
	if err := r.call(ctx, "RemovePodSandbox", q.PodSandboxId); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sandboxes, q.PodSandboxId)
	for id := range r.containers {
		if r.within[id] == q.PodSandboxId {
			delete(r.containers, id)
		}
	}
	return &runtimeapi.RemovePodSandboxResponse{}, nil
}

// ListPodSandbox lists sandboxes.
func (r *Runtime) ListPodSandbox(ctx context.Context, q *runtimeapi.ListPodSandboxRequest) (*runtimeapi.ListPodSandboxResponse, error) {
	if err := r.call(ctx, "ListPodSandbox", ""); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &runtimeapi.ListPodSandboxResponse{}
	for _, s := range r.sandboxes {
		if matches(s.Labels, q.GetFilter().GetLabelSelector()) {
			out.Items = append(out.Items, &runtimeapi.PodSandbox{Id: s.Id, Metadata: s.Metadata, Labels: s.Labels, CreatedAt: s.CreatedAt, State: s.State})
		}
	}
	return out, nil
}

func matches(labels, want map[string]string) bool {
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// PodSandboxStatus tells a sandbox's state and an address.
func (r *Runtime) PodSandboxStatus(_ context.Context, q *runtimeapi.PodSandboxStatusRequest) (*runtimeapi.PodSandboxStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[q.PodSandboxId]
	if s == nil {
		return nil, status.Error(codes.NotFound, "no such sandbox")
	}
	return &runtimeapi.PodSandboxStatusResponse{Status: &runtimeapi.PodSandboxStatus{Id: s.Id, State: s.State,
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: "10.244.0.2"}}}, nil
}

// CreateContainer makes a container.
func (r *Runtime) CreateContainer(ctx context.Context, q *runtimeapi.CreateContainerRequest) (*runtimeapi.CreateContainerResponse, error) {
	if err := r.call(ctx, "CreateContainer", q.Config.Metadata.Name); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	id := r.id("container")
	r.within[id] = q.PodSandboxId
	r.containers[id] = &runtimeapi.ContainerStatus{Id: id, Metadata: q.Config.Metadata, Image: q.Config.Image, Labels: q.Config.Labels,
		Annotations: q.Config.Annotations, CreatedAt: r.created(), Resources: &runtimeapi.ContainerResources{Linux: q.Config.GetLinux().GetResources()},
		LogPath: filepath.Join(q.GetSandboxConfig().GetLogDirectory(), q.Config.LogPath)}
	return &runtimeapi.CreateContainerResponse{ContainerId: id}, nil
}

// StartContainer makes a container run.
func (r *Runtime) StartContainer(ctx context.Context, q *runtimeapi.StartContainerRequest) (*runtimeapi.StartContainerResponse, error) {
	if err := r.call(ctx, "StartContainer", q.ContainerId); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[q.ContainerId]; c != nil {
		c.State, c.StartedAt = runtimeapi.ContainerState_CONTAINER_RUNNING, r.Now().UnixNano()
	}
	return &runtimeapi.StartContainerResponse{}, nil
}

// StopContainer ends a container.
func (r *Runtime) StopContainer(ctx context.Context, q *runtimeapi.StopContainerRequest) (*runtimeapi.StopContainerResponse, error) {
	if err := r.call(ctx, fmt.Sprintf("StopContainer %d", q.Timeout), q.ContainerId); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[q.ContainerId]; c != nil {
		exit(c, 0, r.Now())
	}
	return &runtimeapi.StopContainerResponse{}, nil
}

// RemoveContainer removes a container.
func (r *Runtime) RemoveContainer(ctx context.Context, q *runtimeapi.RemoveContainerRequest) (*runtimeapi.RemoveContainerResponse, error) {
	if err := r.call(ctx, "RemoveContainer", q.ContainerId); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.containers, q.ContainerId)
	return &runtimeapi.RemoveContainerResponse{}, nil
}

// ListContainers lists containers.
func (r *Runtime) ListContainers(_ context.Context, q *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &runtimeapi.ListContainersResponse{}
	for id, c := range r.containers {
		if matches(c.Labels, q.GetFilter().GetLabelSelector()) {
			out.Containers = append(out.Containers, &runtimeapi.Container{Id: id, PodSandboxId: r.within[id], Metadata: c.Metadata,
				Image: c.Image, State: c.State, CreatedAt: c.CreatedAt, Labels: c.Labels, Annotations: c.Annotations})
		}
	}
	return out, nil
}

// ContainerStatus describes a container.
func (r *Runtime) ContainerStatus(_ context.Context, q *runtimeapi.ContainerStatusRequest) (*runtimeapi.ContainerStatusResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[q.ContainerId]
	if c == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	return &runtimeapi.ContainerStatusResponse{Status: &runtimeapi.ContainerStatus{Id: c.Id, Metadata: c.Metadata, State: c.State, CreatedAt: c.CreatedAt,
		StartedAt: c.StartedAt, FinishedAt: c.FinishedAt, ExitCode: c.ExitCode, Image: c.Image, Annotations: c.Annotations, LogPath: c.LogPath, Resources: c.Resources}}, nil
}

// UpdateContainerResources changes what ContainerStatus tells, as containerd
// does: only what is given.
func (r *Runtime) UpdateContainerResources(ctx context.Context, q *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	if err := r.call(ctx, fmt.Sprintf("UpdateContainerResources %d/%d/%d", q.Linux.CpuShares, q.Linux.CpuQuota, q.Linux.MemoryLimitInBytes>>20), q.ContainerId); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[q.ContainerId]
	if c == nil {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	had := c.Resources.Linux
	c.Resources = &runtimeapi.ContainerResources{Linux: &runtimeapi.LinuxContainerResources{
		CpuPeriod: cmp.Or(q.Linux.CpuPeriod, had.CpuPeriod), CpuQuota: cmp.Or(q.Linux.CpuQuota, had.CpuQuota), CpuShares: cmp.Or(q.Linux.CpuShares, had.CpuShares),
		MemoryLimitInBytes: cmp.Or(q.Linux.MemoryLimitInBytes, had.MemoryLimitInBytes)}}
	return &runtimeapi.UpdateContainerResourcesResponse{}, nil
}

// ExecSync runs a command: it succeeds, unless before says otherwise.
func (r *Runtime) ExecSync(ctx context.Context, q *runtimeapi.ExecSyncRequest) (*runtimeapi.ExecSyncResponse, error) {
	if err := r.call(ctx, "ExecSync", q.ContainerId); err != nil {
		return nil, err
	}
	return &runtimeapi.ExecSyncResponse{}, nil
}

// ImageStatus has every image.
func (r *Runtime) ImageStatus(_ context.Context, q *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	return &runtimeapi.ImageStatusResponse{Image: &runtimeapi.Image{Id: q.Image.Image, RepoTags: []string{q.Image.Image}}}, nil
}
