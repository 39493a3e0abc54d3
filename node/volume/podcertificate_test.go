package volume_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func certificate(sources ...corev1.PodCertificateProjection) corev1.VolumeSource {
	p := &corev1.ProjectedVolumeSource{DefaultMode: ptr.To[int32](0o444)}
	for i := range sources {
		p.Sources = append(p.Sources, corev1.VolumeProjection{PodCertificate: &sources[i]})
	}
	return corev1.VolumeSource{Projected: p}
}

// TestPodCertificateFiles: a key and its certificates lie together, apart, or
// both, and each source has its own.
func TestPodCertificateFiles(t *testing.T) {
	w := newWorld(t)
	p := pod(vol("cm", cmVolume()), vol("tls", certificate(corev1.PodCertificateProjection{CredentialBundlePath: "all.pem"},
		corev1.PodCertificateProjection{KeyPath: "sub/key.pem", CertificateChainPath: "sub/chain.pem"},
		corev1.PodCertificateProjection{CredentialBundlePath: "c.pem", KeyPath: "c.key", CertificateChainPath: "c.crt"})))
	w.prepare(p)
	for file, want := range map[string]string{"all.pem": "key tls/0\nchain tls/0\n", "sub/key.pem": "key tls/1\n", "sub/chain.pem": "chain tls/1\n",
		"c.pem": "key tls/2\nchain tls/2\n", "c.key": "key tls/2\n", "c.crt": "chain tls/2\n"} {
		if got := w.read("tls", file); got != want {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
	w.renewed = " renewed"
	w.prepare(p)
	if got := w.read("tls", "all.pem"); got != "key tls/0 renewed\nchain tls/0 renewed\n" {
		t.Errorf("renewed: got %q", got)
	}
}

// TestPodCertificateOwner: as of tokens, nobody reads a key but the pod's own
// processes where they are known by one user or a group.
func TestPodCertificateOwner(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		user, group *int64
		uid         uint32
		mode        fs.FileMode
	}{
		"nobody known": {nil, nil, 0, 0o444},
		"one user":     {ptr.To[int64](1000), nil, 1000, 0o600},
		"a group":      {nil, ptr.To[int64](4242), 0, 0o640},
		"both":         {ptr.To[int64](1000), ptr.To[int64](4242), 1000, 0o640},
	} {
		p := pod(vol("tls", certificate(corev1.PodCertificateProjection{CredentialBundlePath: "b", KeyPath: "k", CertificateChainPath: "c"})))
		p.Spec.Containers = []corev1.Container{{Name: "app"}}
		p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: c.user, FSGroup: c.group}
		w.prepare(p)
		for _, file := range []string{"b", "k", "c"} {
			fi, err := os.Stat(filepath.Join(w.root, "u/volumes/tls", file))
			if err != nil {
				t.Fatal(err)
			}
			if uid := fi.Sys().(*syscall.Stat_t).Uid; uid != c.uid || fi.Mode() != c.mode {
				t.Errorf("%s, %s: got %s of %d, want %s of %d", name, file, fi.Mode(), uid, c.mode, c.uid)
			}
		}
		if err := w.m.TearDown(t.Context(), "u"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneVolumeFails: what one volume lacks keeps no other from being brought
// up to date, as a key that is about to run out.
func TestOneVolumeFails(t *testing.T) {
	w := newWorld(t)
	p := pod(vol("tls", certificate(corev1.PodCertificateProjection{KeyPath: "k"})), vol("cm", cmVolume()))
	w.fail = errors.New("credential bundle is not issued yet")
	const want = `MountVolume.SetUp failed for volume "tls" : credential bundle is not issued yet`
	for _, data := range []string{"1", "2"} {
		w.config["cm"]["a"] = data
		if _, err := w.m.Prepare(t.Context(), p); err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
		if got := w.read("cm", "a"); got != data {
			t.Errorf("the other volume: got %q, want %q", got, data)
		}
	}
}
