// Package report tells the API the statuses of pods.
package report

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/internal/backoff"
)

// Writer tells the API the statuses of pods. Writes of one pod are made one
// after another, and only the newest status of those that wait is written. It
// may be used concurrently.
type Writer struct {
	client  kubernetes.Interface
	log     *slog.Logger
	written func(*corev1.Pod)
	api     *backoff.Retry // of an API that does not answer, for all pods

	mu   sync.Mutex
	ctx  context.Context       // nil before run; guarded by mu
	jobs map[types.UID]*series // guarded by mu
}

// series is the writing for one pod; it exists while something is to be
// written.
type series struct {
	next    *job // waits
	running bool
	base    *corev1.PodStatus // what the API took last in this series
	idle    *sync.Cond
	last    chan struct{} // closed when the last status waits: others are not tried again
}

type job struct {
	pod        *corev1.Pod
	base, next corev1.PodStatus
}

// Pauses after a status that was not written.
const (
	firstWrite = 100 * time.Millisecond
	lastWrite  = 10 * time.Second
)

// New makes a writer; it writes once it runs. written is told each pod as the
// API has it after a write.
func New(client kubernetes.Interface, log *slog.Logger, written func(*corev1.Pod)) *Writer {
	return &Writer{client: client, log: log, written: written, api: backoff.New(firstWrite, lastWrite), jobs: map[types.UID]*series{}}
}

// Run lets the writer write until ctx ends. It returns at once.
func (w *Writer) Run(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx = ctx
	for uid, j := range w.jobs {
		w.kick(uid, j)
	}
}

// Write has a status written soon. base is what the API has.
func (w *Writer) Write(pod *corev1.Pod, base, next corev1.PodStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := w.job(pod.UID)
	j.next = &job{pod, base, next}
	w.kick(pod.UID, j)
}

func (w *Writer) job(uid types.UID) *series {
	j := w.jobs[uid]
	if j == nil {
		j = &series{idle: sync.NewCond(&w.mu), last: make(chan struct{})}
		w.jobs[uid] = j
	}
	return j
}

// kick is called with mu held.
func (w *Writer) kick(uid types.UID, j *series) {
	if w.ctx == nil || w.ctx.Err() != nil || j.running || j.next == nil {
		return
	}
	j.running = true
	go w.work(w.ctx, uid, j)
}

func (w *Writer) work(ctx context.Context, uid types.UID, j *series) {
	retry := backoff.New(firstWrite, lastWrite)
	w.mu.Lock()
	defer w.mu.Unlock()
	for ctx.Err() == nil && j.next != nil {
		todo := j.next
		j.next = nil
		if j.base != nil {
			todo.base = *j.base
		}
		w.mu.Unlock()
		pod, err := w.patch(ctx, todo)
		if err == nil {
			w.written(pod)
		}
		pause := w.note(ctx, todo.pod, retry, err)
		w.mu.Lock()
		if err == nil {
			j.base = &pod.Status
		}
		if pause == 0 {
			continue
		}
		w.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-j.last:
			todo = nil
		case <-time.After(pause):
		}
		w.mu.Lock()
		if j.next == nil {
			j.next = todo
		}
	}
	j.running = false
	if j.next == nil {
		delete(w.jobs, uid)
	}
	j.idle.Broadcast()
}

// note takes note of how a write went, and returns how long to wait before it
// is made again: 0 for never. An API that does not answer is told of once and
// not once per pod.
func (w *Writer) note(ctx context.Context, pod *corev1.Pod, retry *backoff.Retry, err error) time.Duration {
	log := w.log.With("namespace", pod.Namespace, "name", pod.Name)
	refused := apierrors.ReasonForError(err) != metav1.StatusReasonUnknown
	if err == nil || refused {
		w.api.Succeeded(w.log)
	}
	switch {
	case err == nil:
		retry.Succeeded(log)
	case apierrors.IsNotFound(err) || apierrors.IsConflict(err) || ctx.Err() != nil:
		// The pod is gone, or another has its name.
	case refused:
		return retry.Failed(log, "status not written", err)
	default:
		w.api.Failed(w.log, "pod statuses not written: the API does not answer", err)
		return retry.Again()
	}
	return 0
}

// Now writes a status after those under way, replacing one that waits, and
// returns when the API has it.
func (w *Writer) Now(ctx context.Context, pod *corev1.Pod, base, next corev1.PodStatus) error {
	w.mu.Lock()
	j := w.job(pod.UID)
	j.next = nil
	close(j.last)
	for j.running {
		j.idle.Wait()
	}
	if j.base != nil {
		base = *j.base
	}
	delete(w.jobs, pod.UID)
	w.mu.Unlock()
	_, err := w.patch(ctx, &job{pod, base, next})
	return err
}

// patch sends the difference. It names the pod's UID, so that a successor of
// the same name is not given its predecessor's status.
func (w *Writer) patch(ctx context.Context, j *job) (*corev1.Pod, error) {
	body, changed, err := patchOf(j.pod.UID, &j.base, &j.next)
	if err != nil {
		return nil, err
	}
	if !changed { // as after a restart of the agent
		p := *j.pod
		p.Status = j.base
		return &p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return w.client.CoreV1().Pods(j.pod.Namespace).Patch(ctx, j.pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{}, "status")
}

// patchOf is the difference of two statuses, bound to a pod's UID, and whether
// there is any.
func patchOf(uid types.UID, base, next *corev1.PodStatus) (body []byte, changed bool, err error) {
	before, err := json.Marshal(corev1.Pod{Status: *base})
	if err != nil {
		return nil, false, fmt.Errorf("encode status: %w", err)
	}
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid}, Status: *next})
	if err != nil {
		return nil, false, fmt.Errorf("encode status: %w", err)
	}
	if body, err = strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{}); err != nil {
		return nil, false, fmt.Errorf("compare statuses: %w", err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(body, &parts); err != nil {
		return nil, false, fmt.Errorf("compare statuses: %w", err)
	}
	_, changed = parts["status"]
	return body, changed, nil
}
