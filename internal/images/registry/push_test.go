package registry_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/internal/images/build"
	"github.com/pintle-io/pintle/internal/images/registry"
)

// client makes requests of the protocol by hand.
type client struct {
	t    *testing.T
	addr string
	auth string // the header Authorization
}

// pusher may push.
func pusher(t *testing.T, addr string) client { return client{t, addr, "Bearer " + token} }

func (c client) do(method, path string, header map[string]string, body []byte) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, "http://"+c.addr+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.auth != "" {
		req.Header.Set("Authorization", c.auth)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return resp
}

// want makes a request that must be answered with this status.
func (c client) want(status int, method, path string, header map[string]string, body []byte) *http.Response {
	c.t.Helper()
	resp := c.do(method, path, header, body)
	if resp.StatusCode != status {
		b, _ := io.ReadAll(resp.Body)
		c.t.Fatalf("%s %s: %d, want %d\n%s", method, path, resp.StatusCode, status, b)
	}
	return resp
}

// start opens an upload and returns its path.
func (c client) start(repo string) string {
	c.t.Helper()
	return c.want(http.StatusAccepted, http.MethodPost, "/v2/"+repo+"/blobs/uploads/", nil, nil).Header.Get("Location")
}

func sha(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// files are those below a folder of the registry.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Anybody reads; who brings no token, or one that is not accepted, changes
// nothing, by whatever request.
func TestChangesTakeAToken(t *testing.T) {
	addr, _ := serve(t, t.TempDir())
	want, err := build.Push(t.Context(), addr, "web:v1", build.Named{Image: image(t, "one")}, token)
	if err != nil {
		t.Fatal(err)
	}
	upload := pusher(t, addr).start("web")
	for _, auth := range []string{"", "Bearer wrong", "Bearer anonymous", "Basic " + basic("user", "wrong"), "Negotiate secret"} {
		c := client{t, addr, auth}
		for _, r := range []struct{ method, path string }{
			{http.MethodPost, "/v2/web/blobs/uploads/"},
			{http.MethodPost, "/v2/web/blobs/uploads"},
			{http.MethodPost, "/v2/web/blobs/uploads/?digest=" + sha([]byte("x"))},
			{http.MethodPost, "/v2/web/blobs/uploads/?mount=" + sha([]byte("x"))},
			{http.MethodGet, upload}, {http.MethodPatch, upload}, {http.MethodPut, upload}, {http.MethodDelete, upload},
			{http.MethodPut, "/v2/web/manifests/v2"},
			{http.MethodDelete, "/v2/web/manifests/v1"}, {http.MethodDelete, "/v2/web/manifests/" + want},
			{http.MethodDelete, "/v2/web/blobs/" + want},
			{http.MethodPost, "/v2/"},
		} {
			resp := c.want(http.StatusUnauthorized, r.method, r.path, nil, []byte("x"))
			if got := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer realm=\"http://"+addr+"/v2/token\"") {
				t.Errorf("%s %s: challenge %q", r.method, r.path, got)
			}
		}
		if got, err := pull(t, addr+"/web:v1"); err != nil || got != want {
			t.Errorf("pull after what %q tried: %s, %v", auth, got, err)
		}
	}
	if _, err := build.Push(t.Context(), addr, "web:v2", build.Named{Image: image(t, "two")}, ""); err == nil {
		t.Error("a push without a token")
	}
}

// Without anybody to ask nobody pushes; when the question fails, neither.
func TestNobodyToAsk(t *testing.T) {
	none, err := registry.New(registry.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	addr := listen(t, none)
	client{t, addr, "Bearer x"}.want(http.StatusUnauthorized, http.MethodPost, "/v2/web/blobs/uploads/", nil, nil)

	addr, _ = serveWith(t, registry.Config{Dir: t.TempDir(), Push: func(context.Context, string) (bool, error) { return true, errors.New("away") }})
	client{t, addr, "Bearer x"}.want(http.StatusServiceUnavailable, http.MethodPost, "/v2/web/blobs/uploads/", nil, nil)
}

// docker login, podman login and others trade the password for a token.
func TestLogin(t *testing.T) {
	addr, _ := serve(t, t.TempDir())
	resp := client{t, addr, ""}.want(http.StatusUnauthorized, http.MethodGet, "/v2/", nil, nil)
	if !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer ") {
		t.Error("no challenge at /v2/: clients would not log in")
	}
	ask := func(auth string, status int) string {
		t.Helper()
		resp := client{t, addr, auth}.want(status, http.MethodGet, "/v2/token?service=pintle&scope=repository:web:pull,push", nil, nil)
		var got struct{ Token string }
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(err)
		}
		return got.Token
	}
	if got := ask("Basic "+basic("any", token), http.StatusOK); got != token {
		t.Errorf("token %q", got)
	}
	if got := ask("", http.StatusOK); got == "" || got == token {
		t.Errorf("token of nobody: %q", got)
	}
	ask("Basic "+basic("any", "wrong"), http.StatusUnauthorized)
	tag, err := build.Destination(addr, "web:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image(t, "one"), remote.WithAuth(&authn.Basic{Username: "any", Password: token})); err != nil {
		t.Errorf("push after a login: %v", err)
	}
}

// An upload goes to a file as it comes.
func TestUploadGoesToDisk(t *testing.T) {
	dir := t.TempDir()
	addr, reg := serve(t, dir)
	c := pusher(t, addr)
	content := bytes.Repeat([]byte("0123456789"), 1000)
	at := c.start("web")
	resp := c.want(http.StatusAccepted, http.MethodPatch, at, map[string]string{"Content-Range": "0-3999"}, content[:4000])
	if got := resp.Header.Get("Range"); got != "0-3999" {
		t.Errorf("range %q", got)
	}
	on := files(t, filepath.Join(dir, "uploads"))
	if len(on) != 1 {
		t.Fatalf("files %v", on)
	}
	if b, err := os.ReadFile(on[0]); err != nil || !bytes.Equal(b, content[:4000]) {
		t.Errorf("on disk: %d bytes, %v", len(b), err)
	}
	c.want(http.StatusRequestedRangeNotSatisfiable, http.MethodPatch, at, map[string]string{"Content-Range": "3000-3999"}, content[3000:4000])
	c.want(http.StatusNotFound, http.MethodPatch, strings.Replace(at, "/web/", "/other/", 1), nil, content)
	if got := c.want(http.StatusNoContent, http.MethodGet, at, nil, nil).Header.Get("Range"); got != "0-3999" {
		t.Errorf("range %q", got)
	}
	c.want(http.StatusAccepted, http.MethodPatch, at, nil, content[4000:8000])
	c.want(http.StatusCreated, http.MethodPut, at+"?digest="+sha(content), nil, content[8000:])
	if left := files(t, filepath.Join(dir, "uploads")); len(left) != 0 || reg.OpenUploads() != 0 {
		t.Errorf("left: %v, %d open", left, reg.OpenUploads())
	}
	got, err := io.ReadAll(client{t, addr, ""}.want(http.StatusOK, http.MethodGet, "/v2/other/blobs/"+sha(content), nil, nil).Body)
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("blob: %d bytes, %v", len(got), err)
	}
	c.want(http.StatusCreated, http.MethodPost, "/v2/third/blobs/uploads/?from=web&mount="+sha(content), nil, nil)
}

// What ends an upload leaves nothing.
func TestUploadsThatFail(t *testing.T) {
	dir := t.TempDir()
	addr, reg := serveWith(t, registry.Config{Dir: dir, Limits: registry.Limits{Blob: 1000}})
	c := pusher(t, addr)
	content := bytes.Repeat([]byte("x"), 600)
	c.want(http.StatusBadRequest, http.MethodPut, c.start("web")+"?digest="+sha([]byte("other")), nil, content)
	c.want(http.StatusBadRequest, http.MethodPost, "/v2/web/blobs/uploads/?digest="+sha([]byte("other")), nil, content)
	c.want(http.StatusNoContent, http.MethodDelete, c.start("web"), nil, nil)
	at := c.start("web")
	c.want(http.StatusAccepted, http.MethodPatch, at, nil, content)
	c.want(http.StatusRequestEntityTooLarge, http.MethodPatch, at, nil, content)
	c.want(http.StatusNotFound, http.MethodPatch, at, nil, content)
	c.want(http.StatusRequestEntityTooLarge, http.MethodPost, "/v2/web/blobs/uploads/?digest="+sha(make([]byte, 1001)), nil, make([]byte, 1001))
	// Of a size that the client does not say.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "http://"+addr+c.start("web"), io.MultiReader(bytes.NewReader(content), bytes.NewReader(content)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", c.auth)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a chunked body of 1200 bytes: %d", resp.StatusCode)
	}
	if left := append(files(t, filepath.Join(dir, "uploads")), files(t, filepath.Join(dir, "blobs"))...); len(left) != 0 || reg.OpenUploads() != 0 {
		t.Errorf("left: %v, %d open", left, reg.OpenUploads())
	}
}

func TestUploadsAreBoundedInNumberAndTime(t *testing.T) {
	dir := t.TempDir()
	clock := clocktesting.NewFakeClock(time.Now())
	addr, reg := serveWith(t, registry.Config{Dir: dir, Clock: clock, Limits: registry.Limits{Uploads: 3, UploadIdle: time.Minute, UploadLifetime: 150 * time.Second}})
	c := pusher(t, addr)
	var open []string
	for range 3 {
		open = append(open, c.start("web"))
	}
	resp := c.want(http.StatusTooManyRequests, http.MethodPost, "/v2/web/blobs/uploads/", nil, nil)
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	clock.Step(40 * time.Second)
	c.want(http.StatusAccepted, http.MethodPatch, open[0], nil, []byte("x"))
	clock.Step(40 * time.Second)
	openUploads(t, reg, 1) // the one that somebody came for
	c.want(http.StatusNotFound, http.MethodPatch, open[1], nil, []byte("x"))
	c.start("web")
	for range 2 { // one byte now and then does not keep it for ever
		c.want(http.StatusAccepted, http.MethodPatch, open[0], nil, []byte("x"))
		clock.Step(35 * time.Second)
	}
	openUploads(t, reg, 0)
	if left := files(t, filepath.Join(dir, "uploads")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// openUploads waits until there are n.
func openUploads(t *testing.T, reg *registry.Registry, n int) {
	t.Helper()
	got := -1
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = reg.OpenUploads(); got == n {
			return
		}
	}
	t.Fatalf("%d uploads are open, want %d", got, n)
}

// What an earlier process left is gone at the next start.
func TestUploadsEndWithTheProcess(t *testing.T) {
	dir := t.TempDir()
	addr, _ := serve(t, dir)
	at := pusher(t, addr).start("web")
	again, _ := serve(t, dir)
	if left := files(t, filepath.Join(dir, "uploads")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	pusher(t, again).want(http.StatusNotFound, http.MethodPatch, at, nil, []byte("x"))
}

// A client that sends nothing more is not waited for.
func TestStalledBody(t *testing.T) {
	dir := t.TempDir()
	addr, reg := serveWith(t, registry.Config{Dir: dir, Limits: registry.Limits{Stall: 20 * time.Millisecond}})
	for _, r := range []string{"PATCH " + pusher(t, addr).start("web"), "PUT /v2/web/manifests/v1"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000\r\n\r\nabc", r, token)
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("%s: the registry waits: %v", r, err)
		}
	}
	openUploads(t, reg, 0)
}

// Pushes leave room for the control plane's store.
func TestDiskReserve(t *testing.T) {
	addr, reg := serve(t, t.TempDir())
	c := pusher(t, addr)
	const gi = 1 << 30
	free := uint64(2 * gi)
	reg.SetFreeSpace(func(string) (uint64, uint64, error) { return free, 20 * gi, nil })
	content := []byte("x")
	c.want(http.StatusCreated, http.MethodPost, "/v2/web/blobs/uploads/?digest="+sha(content), nil, content)
	free = gi
	c.want(http.StatusInsufficientStorage, http.MethodPost, "/v2/web/blobs/uploads/?digest="+sha(content), nil, content)
	if n := reg.OpenUploads(); n != 0 {
		t.Errorf("%d uploads are open", n)
	}
}

// A manifest under another's digest would keep nodes from what they pin.
func TestManifestUnderAnotherDigest(t *testing.T) {
	addr, _ := serve(t, t.TempDir())
	c := pusher(t, addr)
	kind := map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
	body := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","layers":[]}`)
	c.want(http.StatusBadRequest, http.MethodPut, "/v2/x/manifests/"+sha([]byte("other")), kind, body)
	c.want(http.StatusNotFound, http.MethodGet, "/v2/x/manifests/"+sha([]byte("other")), nil, nil)
	c.want(http.StatusCreated, http.MethodPut, "/v2/x/manifests/"+sha(body), kind, body)
}

func TestManifestsAreBounded(t *testing.T) {
	put := func(c client, status int, tag string, size int) {
		t.Helper()
		m := fmt.Sprintf(`{"schemaVersion":2,"config":{},"layers":[],"x":%q}`, strings.Repeat(tag, size))
		c.want(status, http.MethodPut, "/v2/web/manifests/"+tag, map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json"}, []byte(m))
	}
	addr, _ := serveWith(t, registry.Config{Dir: t.TempDir(), Limits: registry.Limits{Manifest: 2000, Manifests: 5000, References: 7}})
	c := pusher(t, addr)
	put(c, http.StatusRequestEntityTooLarge, "a", 2000)
	put(c, http.StatusCreated, "a", 1800)
	put(c, http.StatusCreated, "a", 1800) // the same again is no more
	put(c, http.StatusCreated, "b", 1800)
	put(c, http.StatusInsufficientStorage, "c", 1800)
	put(c, http.StatusCreated, "c", 100) // three tags, three digests
	put(c, http.StatusInsufficientStorage, "d", 100)
	c.want(http.StatusAccepted, http.MethodDelete, "/v2/web/manifests/a", nil, nil)
	put(c, http.StatusCreated, "d", 1800)
}

// Deleting an image gives its room back, and takes nothing from others; what is
// young may be part of a push.
func TestDeleteFreesRoom(t *testing.T) {
	dir := t.TempDir()
	clock := clocktesting.NewFakeClock(time.Now())
	config := registry.Config{Dir: dir, Clock: clock}
	addr, _ := serveWith(t, config)
	push := func(ref string, img build.Named) string {
		t.Helper()
		d, err := build.Push(t.Context(), addr, ref, img, token)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	one, two := image(t, "one"), image(t, "two")
	push("web:v1", build.Named{Image: one})
	push("web:same", build.Named{Image: one})
	push("web:v2", build.Named{Image: two})
	push("multi:v1", build.Named{Index: mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, "three")})})
	blobs := func() int { return len(files(t, filepath.Join(dir, "blobs"))) }
	all := blobs()
	remove := func(ref string) {
		t.Helper()
		pusher(t, addr).want(http.StatusAccepted, http.MethodDelete, "/v2/"+ref, nil, nil)
	}
	clock.Step(24 * time.Hour)
	remove("web/manifests/v1")
	if got := blobs(); got != all {
		t.Errorf("%d of %d blobs are left while another tag holds them", got, all)
	}
	remove("web/manifests/same")
	if got := blobs(); got >= all {
		t.Errorf("%d of %d blobs are left", got, all)
	}
	h, err := one.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pull(t, addr+"/web@"+h.String()); err == nil {
		t.Error("a deleted image is pulled by its digest")
	}
	remove("multi/manifests/v1")
	if got := len(files(t, filepath.Join(dir, "manifests"))); got != 1 {
		t.Errorf("%d manifests are left, want that of web:v2", got)
	}
	again, reg := serveWith(t, config)
	if _, err := pull(t, again+"/web:v2"); err != nil {
		t.Errorf("web:v2: %v", err)
	}
	if names := reg.Names(); len(names) != 1 || names[0] != "web:v2" {
		t.Errorf("names %v", names)
	}
	pusher(t, again).want(http.StatusNotFound, http.MethodDelete, "/v2/web/manifests/v1", nil, nil)

	// By digest the tags go, too.
	addr = again
	clock.Step(24 * time.Hour) // it was pulled
	if h, err = two.Digest(); err != nil {
		t.Fatal(err)
	}
	remove("web/manifests/" + h.String())
	if names := reg.Names(); len(names) != 0 || blobs() != 0 {
		t.Errorf("names %v, %d blobs", names, blobs())
	}
	// A blob that was just pushed waits for its manifest.
	content := []byte("layer")
	c := pusher(t, again)
	c.want(http.StatusCreated, http.MethodPost, "/v2/web/blobs/uploads/?digest="+sha(content), nil, content)
	clock.Step(24 * time.Hour)
	c.want(http.StatusOK, http.MethodHead, "/v2/web/blobs/"+sha(content), nil, nil)
	push("web:v3", build.Named{Image: two})
	remove("web/manifests/v3")
	if got := blobs(); got < 1 {
		t.Error("a blob that somebody asked for went")
	}
}
