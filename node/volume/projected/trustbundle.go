package projected

import (
	"bytes"
	"cmp"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pintle-io/pintle/node/podspec"
)

// maxSelector bounds a label selector as it is written, in bytes; upstream's.
const maxSelector = 100 << 10

// Bundles finds ClusterTrustBundles. What it returns is not changed.
type Bundles interface {
	// Bundle returns the bundle of a name, nil without an error when there is
	// none.
	Bundle(name string) (*certificatesv1.ClusterTrustBundle, error)
	// BundlesOf returns the bundles of a signer.
	BundlesOf(signerName string) ([]*certificatesv1.ClusterTrustBundle, error)
}

// trustBundle adds the trust anchors that a source chooses (KEP-3257): those of
// one bundle, or of all that a signer has and a selector matches. One that may
// be missing and is, makes an empty file.
func (d *Driver) trustBundle(c *content, pod *corev1.Pod, s *corev1.ClusterTrustBundleProjection, mode int32) error {
	chosen, err := d.chosen(s)
	if err != nil {
		return err
	}
	return c.secretFile(pod, s.Path, d.anchors(chosen), mode)
}

// chosen finds the bundles. Its errors are in upstream's words.
func (d *Driver) chosen(s *corev1.ClusterTrustBundleProjection) ([]*certificatesv1.ClusterTrustBundle, error) {
	if d.cfg.Bundles == nil {
		return nil, errors.New("no ClusterTrustBundles are available on this node")
	}
	optional := s.Optional != nil && *s.Optional
	switch {
	case s.Name != nil:
		b, err := d.cfg.Bundles.Bundle(*s.Name)
		switch {
		case err != nil:
			return nil, err
		case b != nil:
			return []*certificatesv1.ClusterTrustBundle{b}, nil
		case !optional:
			return nil, podspec.Missing("while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io %q not found", *s.Name)
		}
		return nil, nil
	case s.SignerName != nil:
		selector, err := selectorOf(s.LabelSelector)
		if err != nil {
			return nil, err
		}
		list, err := d.cfg.Bundles.BundlesOf(*s.SignerName)
		if err != nil {
			return nil, err
		}
		chosen := slices.DeleteFunc(slices.Clone(list), func(b *certificatesv1.ClusterTrustBundle) bool { return !selector.Matches(labels.Set(b.Labels)) })
		if len(chosen) == 0 && !optional {
			return nil, podspec.Missing("combination of signerName and labelSelector matched zero ClusterTrustBundles")
		}
		return chosen, nil
	}
	return nil, errors.New("ClusterTrustBundle projection requires either name or signerName to be set")
}

// selectorOf reads a selector: a nil one matches nothing, an empty one
// everything.
func selectorOf(s *metav1.LabelSelector) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, fmt.Errorf("while parsing label selector: %w", err)
	}
	if n := len(selector.String()); n > maxSelector {
		return nil, fmt.Errorf("label selector length (%d) is larger than %d", n, maxSelector)
	}
	return selector, nil
}

// anchors joins the certificates of bundles: each once, without what stands
// between them. So that nobody relies on their order, each agent has its own,
// which stays the same while it runs: an unchanged file is not written again.
func (d *Driver) anchors(of []*certificatesv1.ClusterTrustBundle) []byte {
	ders := map[string]uint64{} // and the place of each
	for _, b := range of {
		block, rest := pem.Decode([]byte(b.Spec.TrustBundle))
		for ; block != nil; block, rest = pem.Decode(rest) {
			ders[string(block.Bytes)] = maphash.Bytes(d.order, block.Bytes)
		}
	}
	sorted := make([]string, 0, len(ders))
	for der := range ders {
		sorted = append(sorted, der)
	}
	slices.SortFunc(sorted, func(a, b string) int { return cmp.Or(cmp.Compare(ders[a], ders[b]), cmp.Compare(a, b)) })
	var out bytes.Buffer
	for _, der := range sorted {
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(der)}))
	}
	return out.Bytes()
}
