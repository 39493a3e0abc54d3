package cri_test

import (
	"context"
	"errors"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/cri/critest"
)

// TestMakingIsNotCalledOff: a runtime that is interrupted while it makes
// something keeps tasks that its books do not show.
func TestMakingIsNotCalledOff(t *testing.T) {
	var (
		sandbox = &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{Name: "web"}}
		config  = &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "app"}}
		begun   = make(chan context.Context)
		finish  = make(chan struct{})
		slowly  = func(ctx context.Context, call, _ string) error {
			if call == "ListPodSandbox" {
				return nil
			}
			begun <- ctx
			<-finish
			return ctx.Err()
		}
	)
	r := critest.New(t, slowly)
	for name, call := range map[string]func(context.Context) error{
		"RunPodSandbox": func(ctx context.Context) error {
			_, err := r.Client.RunSandbox(ctx, sandbox, "")
			return err
		},
		"CreateContainer": func(ctx context.Context) error {
			_, err := r.Client.CreateContainer(ctx, "sandbox1", config, sandbox)
			return err
		},
		"StartContainer": func(ctx context.Context) error { return r.Client.StartContainer(ctx, "container1") },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- call(ctx) }()
			within := <-begun
			cancel()
			for range 20 { // a cancellation would have overtaken these
				if _, err := r.Client.Pods(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if within.Err() != nil || len(result) > 0 {
				t.Error("the runtime was interrupted")
			}
			finish <- struct{}{}
			if err := <-result; err != nil {
				t.Errorf("got %v", err)
			}
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("a call that began too late: got %v, want it not to be made", err)
			}
		})
	}
}
