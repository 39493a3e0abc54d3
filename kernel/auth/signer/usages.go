package signer

import (
	"crypto/x509"
	"fmt"
	"slices"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/pintle-io/pintle/kernel/auth/pki"
)

// What usages of the API are in a certificate.
// https://pkg.go.dev/k8s.io/api/certificates/v1#KeyUsage
var (
	keyUsages = map[certificatesv1.KeyUsage]x509.KeyUsage{
		certificatesv1.UsageSigning:           x509.KeyUsageDigitalSignature,
		certificatesv1.UsageDigitalSignature:  x509.KeyUsageDigitalSignature,
		certificatesv1.UsageContentCommitment: x509.KeyUsageContentCommitment,
		certificatesv1.UsageKeyEncipherment:   x509.KeyUsageKeyEncipherment,
		certificatesv1.UsageKeyAgreement:      x509.KeyUsageKeyAgreement,
		certificatesv1.UsageDataEncipherment:  x509.KeyUsageDataEncipherment,
		certificatesv1.UsageCertSign:          x509.KeyUsageCertSign,
		certificatesv1.UsageCRLSign:           x509.KeyUsageCRLSign,
		certificatesv1.UsageEncipherOnly:      x509.KeyUsageEncipherOnly,
		certificatesv1.UsageDecipherOnly:      x509.KeyUsageDecipherOnly,
	}
	extUsages = map[certificatesv1.KeyUsage]x509.ExtKeyUsage{
		certificatesv1.UsageAny:             x509.ExtKeyUsageAny,
		certificatesv1.UsageServerAuth:      x509.ExtKeyUsageServerAuth,
		certificatesv1.UsageClientAuth:      x509.ExtKeyUsageClientAuth,
		certificatesv1.UsageCodeSigning:     x509.ExtKeyUsageCodeSigning,
		certificatesv1.UsageEmailProtection: x509.ExtKeyUsageEmailProtection,
		certificatesv1.UsageSMIME:           x509.ExtKeyUsageEmailProtection,
		certificatesv1.UsageIPsecEndSystem:  x509.ExtKeyUsageIPSECEndSystem,
		certificatesv1.UsageIPsecTunnel:     x509.ExtKeyUsageIPSECTunnel,
		certificatesv1.UsageIPsecUser:       x509.ExtKeyUsageIPSECUser,
		certificatesv1.UsageTimestamping:    x509.ExtKeyUsageTimeStamping,
		certificatesv1.UsageOCSPSigning:     x509.ExtKeyUsageOCSPSigning,
		certificatesv1.UsageMicrosoftSGC:    x509.ExtKeyUsageMicrosoftServerGatedCrypto,
		certificatesv1.UsageNetscapeSGC:     x509.ExtKeyUsageNetscapeServerGatedCrypto,
	}
)

// usagesOf are the usages of a request as its certificate has them.
func usagesOf(list []certificatesv1.KeyUsage) (pki.Usages, error) {
	var out pki.Usages
	var unknown []certificatesv1.KeyUsage
	for _, u := range list {
		if k, ok := keyUsages[u]; ok {
			out.Key |= k
		} else if e, ok := extUsages[u]; ok {
			out.Ext = append(out.Ext, e)
		} else {
			unknown = append(unknown, u)
		}
	}
	if len(unknown) > 0 {
		return pki.Usages{}, fmt.Errorf("unrecognized usage values: %q", unknown)
	}
	slices.Sort(out.Ext)
	out.Ext = slices.Compact(out.Ext)
	return out, nil
}

// onlyFor checks that a key is for one end and for what goes with it, as upstream's
// signers of nodes' certificates do.
func onlyFor(end certificatesv1.KeyUsage, list []certificatesv1.KeyUsage) error {
	all := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, end}
	for _, u := range list {
		if !slices.Contains(all, u) {
			return fmt.Errorf("usages did not match %v", all)
		}
	}
	if !slices.Contains(list, certificatesv1.UsageDigitalSignature) || !slices.Contains(list, end) {
		return fmt.Errorf("usages did not match %v", all)
	}
	return nil
}
