package cri

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/node/state"
)

// books is a runtime with one pod "u" of one container "a", whose state the
// test writes.
type books struct {
	runtimeapi.RuntimeServiceClient

	mu    sync.Mutex
	state runtimeapi.ContainerState
	looks int
}

func (b *books) looked() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.looks
}

func (b *books) write(s runtimeapi.ContainerState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.state = s
}

func (b *books) ListContainers(context.Context, *runtimeapi.ListContainersRequest, ...grpc.CallOption) (*runtimeapi.ListContainersResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looks++
	return &runtimeapi.ListContainersResponse{Containers: []*runtimeapi.Container{{Id: "a", PodSandboxId: "s", State: b.state,
		Metadata: &runtimeapi.ContainerMetadata{Name: "app"}, Labels: map[string]string{state.LabelPodUID: "u"}}}}, nil
}

func (b *books) ListPodSandbox(context.Context, *runtimeapi.ListPodSandboxRequest, ...grpc.CallOption) (*runtimeapi.ListPodSandboxResponse, error) {
	return &runtimeapi.ListPodSandboxResponse{Items: []*runtimeapi.PodSandbox{{Id: "s", State: runtimeapi.PodSandboxState_SANDBOX_READY,
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "web"}, Labels: map[string]string{state.LabelPodUID: "u"}}}}, nil
}

// TestExitBeforeTheBooks: an exit may be announced while the runtime's books
// still say that the container was only created, and long before they say that
// it exited. It is seen soon after they do, not at the next poll.
func TestExitBeforeTheBooks(t *testing.T) {
	for name, before := range map[string][]runtimeapi.ContainerState{
		"runs":            {runtimeapi.ContainerState_CONTAINER_RUNNING},
		"was created":     {runtimeapi.ContainerState_CONTAINER_CREATED, runtimeapi.ContainerState_CONTAINER_RUNNING},
		"and at once":     {runtimeapi.ContainerState_CONTAINER_CREATED},
		"is not known of": {runtimeapi.ContainerState_CONTAINER_UNKNOWN, runtimeapi.ContainerState_CONTAINER_RUNNING},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				b     = &books{state: before[0]}
				now   = clocktesting.NewFakeClock(time.Unix(1700000000, 0))
				told  = make(chan types.UID, 16)
				w     = NewWatcher(&Client{runtime: b}, func(uid types.UID) { told <- uid }, nil)
				ended = make(chan struct{})
			)
			w.clock = now
			ctx, cancel := context.WithCancel(t.Context())
			go func() { defer close(ended); w.loop(ctx) }()
			defer func() { cancel(); <-ended }()
			await(t, now)
			now.Step(time.Nanosecond)
			<-told // it is there
			w.connected(ctx, true)
			w.hint("a")
			for n := b.looked(); b.looked() < n+2; time.Sleep(time.Millisecond) {
				step(t, now, relistMax) // until it awaits the exit
			}
			for _, s := range before[1:] {
				b.write(s)
				step(t, now, 4*relistMax)
			}
			for len(told) > 0 {
				<-told
			}
			b.write(runtimeapi.ContainerState_CONTAINER_EXITED)
			step(t, now, 2*relistMax)
			select {
			case uid := <-told:
				if uid != "u" {
					t.Errorf("told of %q", uid)
				}
			default:
				t.Error("the exit is not seen before the next poll")
			}
		})
	}
}

// step lets time pass in moments, each after the watcher has gone to sleep.
func step(t *testing.T, now *clocktesting.FakeClock, d time.Duration) {
	t.Helper()
	for range d / (50 * time.Millisecond) {
		await(t, now)
		now.Step(50 * time.Millisecond)
	}
	await(t, now)
}

func await(t *testing.T, now *clocktesting.FakeClock) {
	t.Helper()
	for range 10_000 {
		if now.HasWaiters() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the watcher does not sleep")
}

func TestStrike(t *testing.T) {
	now := clocktesting.NewFakeClock(time.Unix(1700000000, 0))
	w := &Watcher{clock: now}
	books := map[types.UID]fingerprint{"u": {"exited": state.Exited, "running": state.Running, "created": state.Created}}
	awaited := map[string]time.Time{"": now.Now(), "exited": now.Now(), "running": now.Now(), "created": now.Now(), "gone": now.Now()}
	w.strike(awaited, books)
	if _, running := awaited["running"]; len(awaited) != 2 || !running {
		t.Errorf("awaited: got %v", awaited)
	}
	now.Step(awaitExit + 1)
	if w.strike(awaited, books); len(awaited) > 0 {
		t.Errorf("after %s: got %v", awaitExit, awaited)
	}
}
