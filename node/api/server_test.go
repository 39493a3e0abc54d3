package api_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/api"
	"github.com/pintle-io/pintle/node/cri/critest"
	"github.com/pintle-io/pintle/node/state"
	"github.com/pintle-io/pintle/node/stats"
)

// run makes a pod default/web with that UID, which has written its UID to its
// log.
func run(t *testing.T, r *critest.Runtime, uid string, created int64, deleted bool) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: types.UID(uid), CreationTimestamp: metav1.Unix(created, 0)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}
	if deleted {
		p.DeletionTimestamp = &metav1.Time{Time: time.Unix(created+30, 0)}
	}
	labels := map[string]string{state.LabelPodUID: uid, state.LabelPodNamespace: "default", state.LabelPodName: "web", state.LabelContainerName: "app"}
	sandbox := &runtimeapi.PodSandboxConfig{Metadata: &runtimeapi.PodSandboxMetadata{Name: "web"}, Labels: labels, LogDirectory: t.TempDir()}
	line := fmt.Sprintf("2026-01-01T00:00:00Z stdout F %s\n", uid)
	if err := os.WriteFile(filepath.Join(sandbox.LogDirectory, "0.log"), []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := r.Client.RunSandbox(t.Context(), sandbox, "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Client.CreateContainer(t.Context(), id, &runtimeapi.ContainerConfig{Metadata: &runtimeapi.ContainerMetadata{Name: "app"}, Labels: labels, LogPath: "0.log"}, sandbox)
	if err == nil {
		err = r.Client.StartContainer(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPodsOfOneName: whoever asks for a pod by its name is not led to the one
// that is being deleted, and whoever knows the UID is led to that pod or to none.
func TestPodsOfOneName(t *testing.T) {
	r := critest.New(t, func(context.Context, string, string) error { return nil })
	pods := []*corev1.Pod{run(t, r, "old", 10, true), run(t, r, "new", 11, false)}
	s := api.New(api.Config{Pods: func() []*corev1.Pod {
		pods[0], pods[1] = pods[1], pods[0]
		return pods
	}, Runtime: r.Client, Stats: &stats.Source{}})
	srv := httptest.NewServer(s.Handler())
	defer srv.Close()
	for range 4 {
		for query, want := range map[string]string{"": "200 new", "?uid=new": "200 new", "?uid=old": "200 old", "?uid=other": "404 "} {
			resp, err := http.Get(srv.URL + "/containerLogs/default/web/app" + query)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%d %s", resp.StatusCode, b); !strings.HasPrefix(got, want) {
				t.Errorf("logs%s: got %q, want %s", query, got, want)
			}
		}
		for path, want := range map[string]int{
			"/exec/default/web/other/app?command=true&output=1": http.StatusNotFound, "/attach/default/web/other/app?output=1": http.StatusNotFound,
			"/portForward/default/web/other": http.StatusNotFound,
		} {
			resp, err := http.Post(srv.URL+path, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: got %s, want %d", path, resp.Status, want)
			}
		}
	}
}

// TestSystemLogs: the machine's logs, and nothing else of the machine, whatever
// lies among them.
func TestSystemLogs(t *testing.T) {
	outside, dir := t.TempDir(), filepath.Join(t.TempDir(), "log")
	s := api.New(api.Config{SystemLogs: dir, Stats: &stats.Source{}})
	get := func(path string) (int, string) {
		t.Helper()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code, w.Body.String()
	}
	if code, _ := get("/logs/"); code != http.StatusNotFound {
		t.Errorf("a machine without logs: %d", code)
	}
	for file, content := range map[string]string{outside + "/secret": "secret", dir + "/messages": "hello", dir + "/sub/x.log": "deeper"} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"inside": "sub/x.log", "out": outside + "/secret", "up": "../../../../../../.." + outside + "/secret", "folder": outside} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		code int
		body string
	}{
		"/logs/": {200, "messages"}, "/logs/messages": {200, "hello"}, "/logs/sub/": {200, "x.log"}, "/logs/sub/x.log": {200, "deeper"},
		"/logs/inside": {200, "deeper"}, "/logs/none": {404, ""}, "/logs/out": {404, ""}, "/logs/up": {404, ""}, "/logs/folder/secret": {404, ""},
		"/logs/pipe": {404, ""}, "/logs/%2e%2e/%2e%2e/etc/passwd": {404, ""},
	} {
		code, body := get(path)
		if code == http.StatusMovedPermanently || code == http.StatusTemporaryRedirect {
			code = http.StatusNotFound // to a clean path, which is none of ours
		}
		if code != want.code || !strings.Contains(body, want.body) || strings.Contains(body, "secret") {
			t.Errorf("%s: %d %q, want %d %q", path, code, body, want.code, want.body)
		}
	}
}
