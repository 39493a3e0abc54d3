package image_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/image"
)

// store is an image service in memory.
type store struct {
	mu      sync.Mutex
	have    map[string]*cri.Image
	asked   int
	pulled  []string // "ref user"
	fail    error
	wrong   map[string]bool // users whose pulls fail
	slow    chan struct{}   // pulls wait for it
	removed []string
}

func (s *store) Get(_ context.Context, ref string) (*cri.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.have[ref], nil
}

func (s *store) List(context.Context) ([]*cri.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*cri.Image
	for _, i := range s.have {
		out = append(out, i)
	}
	return out, nil
}

func (s *store) Pull(_ context.Context, ref string, auth *cri.Auth, _ *runtimeapi.PodSandboxConfig) (string, error) {
	if s.slow != nil {
		<-s.slow
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	user := ""
	if auth != nil {
		user = auth.Username + ":" + auth.Password
	}
	s.pulled = append(s.pulled, ref+" "+user)
	if s.fail != nil || s.wrong[user] {
		return "", errors.Join(s.fail, errors.New("denied"))
	}
	s.have[ref] = &cri.Image{ID: "id-" + ref, Tags: []string{ref}, Size: 100}
	return "id-" + ref, nil
}

func (s *store) Remove(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref, i := range s.have {
		if i.ID == id {
			delete(s.have, ref)
		}
	}
	s.removed = append(s.removed, id)
	return nil
}

func (s *store) FS(context.Context) (cri.ImageFS, error) {
	return cri.ImageFS{Mountpoint: "/images"}, nil
}

func newPuller(s *store) (*image.Puller, *testclock.FakeClock) {
	if s.have == nil {
		s.have = map[string]*cri.Image{}
	}
	clk := testclock.NewFakeClock(time.Unix(1e6, 0))
	return image.New(image.Config{Runtime: s, Clock: clk, Secret: secrets}), clk
}

func secrets(_, name string) (*corev1.Secret, error) {
	entry := func(server, user string) string {
		return fmt.Sprintf(`%q: {"auth": %q}`, server, base64.StdEncoding.EncodeToString([]byte(user+":pw")))
	}
	switch name {
	case "one":
		return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(
			`{"auths": {` + entry("quay.io", "host") + "," + entry("https://quay.io/team", "team") + "," + entry("other.io", "other") + "," + entry("*.corp.example", "wild") + `}}`)}}, nil
	case "hub":
		return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths": {` + entry("https://index.docker.io/v1/", "hub") + `}}`)}}, nil
	case "broken":
		return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte("hunter2")}}, nil
	}
	return nil, nil
}

func ensure(t *testing.T, p *image.Puller, ref string, policy corev1.PullPolicy, pullSecrets ...string) error {
	t.Helper()
	pod := &corev1.Pod{}
	pod.UID, pod.Namespace = "u", "ns"
	for _, s := range pullSecrets {
		pod.Spec.ImagePullSecrets = append(pod.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
	}
	_, err := p.Ensure(t.Context(), pod, &corev1.Container{Image: ref, ImagePullPolicy: policy}, image.Reporter{})
	return err
}

func TestPolicy(t *testing.T) {
	s := &store{}
	p, _ := newPuller(s)
	for _, step := range []struct {
		ref    string
		policy corev1.PullPolicy
		pulls  int
		reason string
	}{
		{"web:v1", "", 1, ""}, {"web:v1", "", 1, ""}, {"web:v1", corev1.PullAlways, 2, ""},
		{"web", "", 3, ""}, {"web", "", 4, ""}, // the tag latest is always pulled
		{"web:v1", corev1.PullNever, 4, ""}, {"none:v1", corev1.PullNever, 4, image.ErrImageNeverPull},
		{"UPPER:v1", "", 4, image.InvalidImageName}, {"", "", 4, image.InvalidImageName},
	} {
		err := ensure(t, p, step.ref, step.policy)
		var e *image.Error
		if step.reason == "" && err != nil || step.reason != "" && (!errors.As(err, &e) || e.Reason != step.reason) {
			t.Errorf("%s %s: got %v, want %q", step.ref, step.policy, err, step.reason)
		}
		if len(s.pulled) != step.pulls {
			t.Errorf("%s %s: %d pulls, want %d", step.ref, step.policy, len(s.pulled), step.pulls)
		}
	}
	asked := s.asked
	if err := ensure(t, p, "web:v1", ""); err != nil || s.asked != asked {
		t.Errorf("a known image was asked for again: %v", err)
	}
	p.Forget("web:v1")
	if err := ensure(t, p, "web:v1", ""); err != nil || s.asked == asked {
		t.Errorf("a forgotten image was not asked for: %v", err)
	}
}

func TestBackOff(t *testing.T) {
	s := &store{fail: errors.New("no route")}
	p, clk := newPuller(s)
	// Up to a quarter less: pods that miss the same image do not ask together.
	want := func(reason string, retry time.Duration) {
		t.Helper()
		err := ensure(t, p, "web:v1", "")
		var e *image.Error
		if !errors.As(err, &e) || e.Reason != reason || e.Retry.Sub(clk.Now()) > retry || e.Retry.Sub(clk.Now()) < retry*3/4 {
			t.Fatalf("got %+v, want %s in %s", err, reason, retry)
		}
	}
	want(image.ErrImagePull, 10*time.Second)
	want(image.ImagePullBackOff, 10*time.Second)
	clk.Step(time.Millisecond)
	want(image.ImagePullBackOff, 10*time.Second)
	for _, d := range []int{20, 40, 80, 160, 300, 300} {
		clk.Step(5 * time.Minute)
		want(image.ErrImagePull, time.Duration(d)*time.Second)
	}
	clk.Step(5 * time.Minute)
	s.fail = nil
	if err := ensure(t, p, "web:v1", ""); err != nil {
		t.Fatal(err)
	}
}

func TestCredentials(t *testing.T) {
	for name, c := range map[string]struct {
		ref     string
		secrets []string
		wrong   []string
		want    []string
	}{
		"best match first":       {"quay.io/team/web:v1", []string{"one"}, nil, []string{"team:pw"}},
		"the next if that fails": {"quay.io/team/web:v1", []string{"one"}, []string{"team:pw"}, []string{"team:pw", "host:pw"}},
		"host":                   {"quay.io/else/web:v1", []string{"one"}, nil, []string{"host:pw"}},
		"wildcard":               {"a.corp.example/web:v1", []string{"one"}, nil, []string{"wild:pw"}},
		"docker hub":             {"web:v1", []string{"hub"}, nil, []string{"hub:pw"}},
		"none fits":              {"gcr.io/web:v1", []string{"one", "missing", "broken"}, nil, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &store{wrong: map[string]bool{}}
			for _, w := range c.wrong {
				s.wrong[w] = true
			}
			p, _ := newPuller(s)
			if err := ensure(t, p, c.ref, "", c.secrets...); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, pull := range s.pulled {
				_, user, _ := strings.Cut(pull, " ")
				got = append(got, user)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestOnePullForMany: containers that want the same image wait for one pull,
// which goes on when one of them gives up.
func TestOnePullForMany(t *testing.T) {
	s := &store{slow: make(chan struct{})}
	p, _ := newPuller(s)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	pod := &corev1.Pod{}
	c := &corev1.Container{Image: "web:v1"}
	started := make(chan struct{}, 1)
	go func() {
		_, err := p.Ensure(ctx, pod, c, image.Reporter{Pulling: func() { started <- struct{}{} }})
		gaveUp <- err
	}()
	<-started
	others := make(chan error, 5)
	for range cap(others) {
		go func() { _, err := p.Ensure(t.Context(), pod, c, image.Reporter{}); others <- err }()
	}
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(s.slow)
	for range cap(others) {
		if err := <-others; err != nil {
			t.Error(err)
		}
	}
	if len(s.pulled) != 1 {
		t.Errorf("pulls: got %v", s.pulled)
	}
}

func TestCollector(t *testing.T) {
	s := &store{have: map[string]*cri.Image{}}
	for _, n := range []string{"old", "older", "used", "pause", "new"} {
		s.have[n] = &cri.Image{ID: "id-" + n, Tags: []string{n}, Size: 100}
	}
	p, clk := newPuller(s)
	inUse := map[string]bool{"id-used": true, "old": true, "id-new": true}
	free, total := uint64(500), uint64(1000)
	g := &image.Collector{Puller: p, Spare: []string{"pause"}, InUse: func(context.Context) (map[string]bool, error) { return inUse, nil },
		Disk: func(string) (uint64, uint64, error) { return free, total, nil }}
	collect := func() (int, error) { t.Helper(); return g.Collect(t.Context()) }
	if n, err := collect(); n != 0 || err != nil {
		t.Fatalf("room on the disk: removed %d %v", n, err)
	}
	clk.Step(time.Hour)
	if n, err := collect(); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	clk.Step(time.Hour)
	delete(inUse, "old") // used until now, by its name
	free = 140
	if n, err := collect(); n != 1 || err != nil || s.removed[0] != "id-older" {
		t.Errorf("got %d %v %v, want the longest unused", n, err, s.removed)
	}
	clk.Step(time.Hour)
	free = 0
	n, err := collect()
	if err == nil || !slices.Equal(s.removed, []string{"id-older", "id-old"}) {
		t.Errorf("got %d %v %v, want all that may go, and a complaint", n, err, s.removed)
	}
	if errors.Is(err, image.ErrNotImages) {
		t.Errorf("without images there were room, and it says %v", err)
	}
	total = 10000 // 2000 to be freed, and some 300 of images
	if _, err := collect(); !errors.Is(err, image.ErrNotImages) {
		t.Errorf("it is not images that fill the disk, and it says %v", err)
	}
}
