package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
)

// cgroup is the pod's group.
func (k *worker) cgroup() string { return k.groupOf(k.uid) }

func (w *Workers) groupOf(uid types.UID) string { return path.Join(w.CgroupParent, "pod"+string(uid)) }

// listening are the TCP ports that a pod's processes listen on. The oldest
// stands for all: a pod has one network, and those just made may not be in it.
func (w *Workers) listening(uid types.UID) (map[uint16]bool, error) {
	pids, err := w.Cgroups.Procs(w.groupOf(uid))
	if err != nil || len(pids) == 0 {
		return nil, err
	}
	return probe.Listening(slices.Min(pids))
}

// networkPause is how often a pod that waits for the network looks again.
const networkPause = 200 * time.Millisecond

// createSandbox makes a sandbox; the rests of those before go first.
func (k *worker) createSandbox(ctx context.Context, pod *corev1.Pod, attempt uint32) {
	if !podspec.HostNetwork(pod) && !k.NetworkReady() {
		if _, told := k.holds[sandboxAction]; !told {
			k.event(pod, "", corev1.EventTypeWarning, "NetworkNotReady", "network is not ready: waiting for the node's pod network")
		}
		k.holds[sandboxAction] = plan.Hold{Until: k.Clock.Now().Add(networkPause)}
		k.nudgeAfter(ctx, networkPause)
		return
	}
	var old []string
	for _, s := range k.seen.Sandboxes {
		old = append(old, s.ID)
	}
	if attempt > 0 {
		k.event(pod, "", corev1.EventTypeNormal, "SandboxChanged", "Pod sandbox changed, it will be killed and re-created.")
	}
	k.do(ctx, sandboxAction, func(ctx context.Context) func() {
		err := k.makeSandbox(ctx, pod, attempt, old)
		return func() {
			switch {
			case err == nil:
				k.clear(sandboxAction)
			case !errors.Is(err, context.Canceled):
				k.event(pod, "", corev1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: "+cri.Message(err))
				k.retry(sandboxAction, "", err.Error())
			}
		}
	})
}

// nudgeAfter makes the worker look again after a while.
func (k *worker) nudgeAfter(ctx context.Context, d time.Duration) {
	t := time.AfterFunc(d, k.nudge)
	context.AfterFunc(ctx, func() { t.Stop() })
}

func (k *worker) makeSandbox(ctx context.Context, pod *corev1.Pod, attempt uint32, old []string) error {
	release, err := k.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	for _, id := range old {
		if err := k.Runtime.StopSandbox(ctx, id); err != nil {
			return err
		}
	}
	if err := k.Cgroups.Create(k.cgroup()); err != nil {
		return err
	}
	if err := k.Cgroups.Limit(k.cgroup(), podspec.PodLimits(pod, k.PIDs)); err != nil {
		return err
	}
	node := k.Node()
	if err := os.MkdirAll(podspec.LogDirectory(node.Logs, pod), 0o755); err != nil {
		return fmt.Errorf("log directory: %w", err)
	}
	handler, err := k.handler(ctx, pod)
	if err != nil {
		return err
	}
	cfg, err := podspec.Sandbox(pod, node, k.cgroup(), attempt)
	if err != nil {
		return err
	}
	_, err = k.Runtime.RunSandbox(ctx, cfg, handler)
	return err
}

// handler is the runtime's name for the pod's RuntimeClass.
func (k *worker) handler(ctx context.Context, pod *corev1.Pod) (string, error) {
	if pod.Spec.HostUsers != nil && !*pod.Spec.HostUsers {
		// Older runtimes ignore the wish, which is worse than to refuse it.
		return "", errors.New("user namespaces (hostUsers: false) are not supported on this node")
	}
	name := pod.Spec.RuntimeClassName
	if name == nil || *name == "" {
		return "", nil
	}
	class, err := k.Client.NodeV1().RuntimeClasses().Get(ctx, *name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("runtime class: %w", err)
	}
	return class.Handler, nil
}

func (k *worker) stopSandbox(ctx context.Context, id string) {
	if k.busy(sandboxAction) {
		return
	}
	k.do(ctx, sandboxAction, func(ctx context.Context) func() {
		err := k.Runtime.StopSandbox(ctx, id)
		return func() {
			switch {
			case err == nil:
				k.clear(sandboxAction)
			case !errors.Is(err, context.Canceled):
				k.failed(sandboxAction, "sandbox not stopped", err, "sandbox", id)
			}
		}
	})
}

// tidy removes instances and sandboxes that are not needed any more.
func (k *worker) tidy(ctx context.Context, p plan.Plan) {
	if len(p.Remove)+len(p.RemoveSandboxes) == 0 || k.busy(tidyAction) || !k.held(tidyAction).IsZero() {
		return
	}
	logs := map[string]string{}
	for _, c := range k.seen.Containers {
		logs[c.ID] = c.LogPath
	}
	k.do(ctx, tidyAction, func(ctx context.Context) func() {
		var errs []error
		for _, id := range p.Remove {
			err := k.Runtime.RemoveContainer(ctx, id)
			if err == nil {
				removeLog(logs[id])
			}
			errs = append(errs, err)
		}
		for _, id := range p.RemoveSandboxes {
			errs = append(errs, k.Runtime.RemoveSandbox(ctx, id))
		}
		return func() {
			switch err := errors.Join(errs...); {
			case err == nil:
				k.clear(tidyAction)
			case !errors.Is(err, context.Canceled):
				k.failed(tidyAction, "old containers not removed", err)
			}
		}
	})
}

// removeLog removes the log of an instance with its rotated parts.
func removeLog(path string) {
	if path == "" {
		return
	}
	files, err := filepath.Glob(path + ".*")
	if err != nil {
		files = nil
	}
	for _, f := range append(files, path) {
		_ = os.Remove(f)
	}
}

// tearDown frees what a finished pod holds; its containers stay in the
// runtime, for their logs, until the pod is deleted.
func (k *worker) tearDown(ctx context.Context) {
	var ids []string
	for _, s := range k.seen.Sandboxes {
		ids = append(ids, s.ID)
	}
	k.do(ctx, endAction, func(ctx context.Context) func() {
		err := k.free(ctx, ids)
		return func() {
			switch {
			case err == nil:
				k.teared = true
				k.clear(endAction)
			case !errors.Is(err, context.Canceled):
				k.failed(endAction, "pod not torn down", err)
			}
		}
	})
}

// free stops sandboxes and removes the pod's volumes and cgroup.
func (k *worker) free(ctx context.Context, sandboxes []string) error {
	for _, id := range sandboxes {
		if err := k.Runtime.StopSandbox(ctx, id); err != nil {
			return err
		}
	}
	if err := k.Volumes.TearDown(ctx, k.uid); err != nil {
		return err
	}
	if err := k.killGroup(ctx, k.uid); err != nil {
		return err
	}
	return k.Cgroups.Remove(k.cgroup())
}

// killTimeout bounds the wait for killed processes to be gone.
const killTimeout = 30 * time.Second

// killGroup ends every process in a pod's group.
func (w *Workers) killGroup(ctx context.Context, uid types.UID) error {
	ctx, cancel := context.WithTimeout(ctx, killTimeout)
	defer cancel()
	return w.Cgroups.Kill(ctx, w.groupOf(uid))
}
