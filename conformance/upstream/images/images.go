// Package images makes the images that upstream's tests pull, from what a
// machine without those registries can have: upstream's own test programs,
// built from their module, and Debian's packages.
package images

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"k8s.io/kubernetes/test/utils/image"

	"github.com/pintle-io/pintle/conformance/upstream/binaries"
)

// Kit is what images are made of.
type Kit struct {
	Binaries   binaries.Dir
	Debian     Debian
	Kubernetes string // the folder of the module k8s.io/kubernetes, for what test images copy
	Pause      string // a static executable that waits
}

// recipe says how an image is made.
type recipe struct {
	debian bool // on top of the Debian tree; else on nothing
	files  func(Kit) []entry
	config v1.Config
}

const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// recipes are the images that are made. What is not here is not made, and the
// tests that want it fail for that reason: AgnhostPrivate and
// InvalidRegistryImage are not to be had on purpose; NFS and iSCSI servers,
// the provisioner and AppArmor's loader need kernel modules; node-perf's images
// are measurements.
var recipes = map[image.ImageID]recipe{
	image.Agnhost:              agnhost(),
	image.AgnhostPrev:          agnhost(),
	image.Kitten:               webserver("kitten"),
	image.Nautilus:             webserver("nautilus"),
	image.BusyBox:              {files: busybox, config: v1.Config{Cmd: []string{"sh"}}},
	image.NonRoot:              {files: busybox, config: v1.Config{User: "1234", Cmd: []string{"/bin/sh", "-c", "id -u"}}},
	image.Nginx:                {debian: true, config: v1.Config{Cmd: []string{"nginx", "-g", "daemon off;"}}},
	image.NginxNew:             {debian: true, config: v1.Config{Cmd: []string{"nginx", "-g", "daemon off;"}}},
	image.Perl:                 {debian: true, config: v1.Config{Cmd: []string{"perl", "-de0"}}},
	image.GlibcDnsTesting:      {debian: true},
	image.IpcUtils:             {debian: true},
	image.DistrolessIptables:   {debian: true},
	image.Pause:                {files: func(k Kit) []entry { return []entry{{path: "pause", from: k.Pause}} }, config: v1.Config{Entrypoint: []string{"/pause"}}},
	image.Nonewprivs:           {debian: true, files: setuid, config: v1.Config{Cmd: []string{"nnp"}}},
	image.RegressionIssue74839: program(binaries.Regression),
	image.SampleDevicePlugin:   program(binaries.DevicePlugin),
	image.APIServer:            program(binaries.SampleServer),
	image.Etcd: {files: func(k Kit) []entry {
		return []entry{{path: "usr/local/bin/etcd", from: k.Binaries.Path(binaries.Etcd)}, {path: "tmp", dir: true, mode: fs.ModeSticky | 0o777}}
	}, config: v1.Config{Entrypoint: []string{"/usr/local/bin/etcd"}}},
	image.ResourceConsumer: {debian: true, files: func(k Kit) []entry {
		return []entry{{path: "consumer", from: k.Binaries.Path(binaries.Consumer)}, {path: "consume-cpu", from: k.Binaries.Path(binaries.ConsumeCPU)}}
	}, config: v1.Config{Entrypoint: []string{"/consumer"}}},
}

// agnhost is the program that most tests run, with the users, groups, links
// and certificates that they look for.
func agnhost() recipe {
	return recipe{debian: true, config: v1.Config{Entrypoint: []string{"/agnhost"}, Cmd: []string{"pause"}}, files: func(k Kit) []entry {
		porter := filepath.Join(k.Kubernetes, "test/images/agnhost/porter")
		return []entry{
			{path: "agnhost", from: k.Binaries.Path(binaries.Agnhost)},
			{path: "agnhost-2", link: "agnhost"},
			{path: "localhost.crt", from: filepath.Join(porter, "localhost.crt"), mode: 0o644},
			{path: "localhost.key", from: filepath.Join(porter, "localhost.key"), mode: 0o644},
			{path: "uploads", dir: true},
			{path: "home/user-defined-in-image", dir: true},
			{path: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" +
				"_apt:x:100:65534::/nonexistent:/usr/sbin/nologin\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n" +
				"user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n")},
			{path: "etc/group", mode: 0o644, data: []byte("root:x:0:\nadm:x:4:\nmail:x:8:\nwww-data:x:33:\nshadow:x:42:\nnogroup:x:65534:\n" +
				"user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n")},
		}
	}}
}

// webserver is agnhost with a picture.
func webserver(name string) recipe {
	r := agnhost()
	files := r.files
	r.config.Cmd = []string{"test-webserver"}
	r.files = func(k Kit) []entry {
		html := filepath.Join(k.Kubernetes, "test/images", name, "html")
		return append(files(k),
			entry{path: name + ".jpg", from: filepath.Join(html, name+".jpg"), mode: 0o644},
			entry{path: "data.json", from: filepath.Join(html, "data.json"), mode: 0o644})
	}
	return r
}

// program is one static executable in an empty image.
func program(b binaries.Binary) recipe {
	return recipe{config: v1.Config{Entrypoint: []string{"/" + b.Name}}, files: func(k Kit) []entry {
		return []entry{{path: b.Name, from: k.Binaries.Path(b)}, {path: "tmp", dir: true, mode: fs.ModeSticky | 0o777}}
	}}
}

func setuid(k Kit) []entry {
	return []entry{{path: "usr/local/bin/nnp", from: k.Binaries.Path(binaries.NoNewPrivs), mode: fs.ModeSetuid | 0o755}}
}

// sh is busybox's shell, in whose words tests expect errors, but where a variable of the
// environment has a name that a shell could not set, such as data-1: Debian's busybox
// hands those on to nobody, and tests look for them. Bash does.
const sh = `#!/bin/bash
while IFS= read -r -d '' variable; do
  case "${variable%%=*}" in
  *[!A-Za-z0-9_]* | [0-9]*) exec -a "$0" /bin/bash "$@" ;;
  esac
done </proc/self/environ
exec -a "$0" /bin/busybox "$@"
`

// busybox is this machine's static one, with a link for each applet.
func busybox(k Kit) []entry {
	files := []entry{
		{path: "tmp", dir: true, mode: fs.ModeSticky | 0o777},
		{path: "root", dir: true, mode: 0o700},
		{path: "var/www", dir: true},
		{path: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n")},
		{path: "etc/group", mode: 0o644, data: []byte("root:x:0:\nnobody:x:65534:\n")},
		{path: "etc/nsswitch.conf", mode: 0o644, data: []byte("hosts: files dns\n")},
	}
	static, err := exec.LookPath("busybox")
	if err != nil {
		static = "busybox" // reading it fails, and says so
	}
	files = append(files, entry{path: "bin/busybox", from: static}, entry{path: "bin/bash", from: k.Debian.Shell}, entry{path: "bin/sh", data: []byte(sh)})
	return append(files, applets(static)...)
}

// applets are links for all that a busybox can, but its shell. All are in bin, as in
// upstream's image, and where Debian has them.
func applets(busybox string) []entry {
	out, err := exec.Command(busybox, "--list-full").Output()
	if err != nil {
		return nil // the file was not readable either, which is reported
	}
	links := map[string]bool{}
	for _, applet := range strings.Fields(string(out)) {
		links[applet], links["bin/"+path.Base(applet)] = true, true
	}
	for _, own := range []string{"bin/sh", "bin/bash", "bin/busybox"} {
		delete(links, own)
	}
	var files []entry
	for _, link := range slices.Sorted(maps.Keys(links)) {
		files = append(files, entry{path: link, link: "/bin/busybox"})
	}
	return files
}

// An Image is ready to be pushed.
type Image struct {
	Name string // registry/repository:tag, as the tests ask for it
	img  v1.Image
}

// Make makes every image that there is a recipe for, by name. Layers of the
// same contents are one layer.
func Make(k Kit) ([]Image, error) {
	debian, err := tarball.LayerFromFile(k.Debian.Tree)
	if err != nil {
		return nil, fmt.Errorf("the Debian tree: %w", err)
	}
	var made []Image
	for id, r := range recipes {
		config := image.GetOriginalImageConfigs()[id]
		img, err := r.make(k, debian)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", config.GetE2EImage(), err)
		}
		made = append(made, Image{Name: config.GetE2EImage(), img: img})
	}
	slices.SortFunc(made, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	return made, nil
}

func (r recipe) make(k Kit, debian v1.Layer) (v1.Image, error) {
	var layers []v1.Layer
	if r.debian {
		layers = append(layers, debian)
	}
	if r.files != nil {
		layer, err := layerOf(parents(r.files(k))...)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", "amd64"
	file.Config = r.config
	file.Config.Env = []string{searchPath}
	return mutate.ConfigFile(img, file)
}

// Push pushes the image to a registry, host:port, whose users are told by a
// token. Pintle's registry ignores the host of an image's name.
func (i Image) Push(ctx context.Context, registry, token string) error {
	_, repository, _ := strings.Cut(i.Name, "/")
	ref, err := name.ParseReference(registry+"/"+repository, name.Insecure)
	if err != nil {
		return err
	}
	auth := remote.WithAuth(&authn.Basic{Username: "token", Password: token})
	if err := remote.Write(ref, i.img, auth, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("push %s: %w", i.Name, err)
	}
	return nil
}
