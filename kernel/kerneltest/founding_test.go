package kerneltest_test

import (
	"net/netip"
	"testing"

	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// What a new cluster begins with is there at once, and stays away when its user
// deletes it: the next start does not bring it back.
func TestFounding(t *testing.T) {
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s, dir := memory.New(), t.TempDir()
	start := func() *kerneltest.Server {
		return kerneltest.Start(t, kerneltest.Options{Table: table, Store: s, Dir: dir, Config: func(c *kernel.Config) {
			c.Founding = []kernel.Founding{{Resource: storagev1.SchemeGroupVersion.WithResource("storageclasses"),
				Object: &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "first"}, Provisioner: "x/y"}}}
		}})
	}
	a := start()
	classes := kerneltest.Client(t, a.Admin()).StorageV1().StorageClasses()
	if c, err := classes.Get(t.Context(), "first", metav1.GetOptions{}); err != nil || c.VolumeBindingMode == nil {
		t.Fatalf("%v, %v", c, err)
	}
	if err := classes.Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	a.Stop()
	if c, err := kerneltest.Client(t, start().Admin()).StorageV1().StorageClasses().Get(t.Context(), "first", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("it is back: %v, %v", c, err)
	}
}
