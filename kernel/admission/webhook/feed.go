package webhook

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/informers"
	informersadmission "k8s.io/client-go/informers/admissionregistration"
	informersadmissionv1 "k8s.io/client-go/informers/admissionregistration/v1"
	informerscore "k8s.io/client-go/informers/core"
	informerscorev1 "k8s.io/client-go/informers/core/v1"
	listersadmissionv1 "k8s.io/client-go/listers/admissionregistration/v1"
	listersv1 "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/informer/shared"
)

// feed is where upstream's plugins get what they follow: one kind of configurations,
// and namespaces. Nothing else is asked of it, and it starts nothing.
type feed struct {
	informers.SharedInformerFactory
	mutating   *shared.Objects[*admissionv1.MutatingWebhookConfiguration]
	validating *shared.Objects[*admissionv1.ValidatingWebhookConfiguration]
	namespaces dynamic.Namespaces
}

// Admissionregistration implements informers.SharedInformerFactory.
func (f feed) Admissionregistration() informersadmission.Interface {
	return admissionGroup{feed: f}
}

// Core implements informers.SharedInformerFactory.
func (f feed) Core() informerscore.Interface { return coreGroup{feed: f} }

type admissionGroup struct {
	informersadmission.Interface
	feed feed
}

func (g admissionGroup) V1() informersadmissionv1.Interface { return admissionVersion{feed: g.feed} }

type admissionVersion struct {
	informersadmissionv1.Interface
	feed feed
}

func (v admissionVersion) MutatingWebhookConfigurations() informersadmissionv1.TypedMutatingWebhookConfigurationInformer {
	return mutatingInformer{set: v.feed.mutating}
}

func (v admissionVersion) ValidatingWebhookConfigurations() informersadmissionv1.TypedValidatingWebhookConfigurationInformer {
	return validatingInformer{set: v.feed.validating}
}

type mutatingInformer struct {
	informersadmissionv1.TypedMutatingWebhookConfigurationInformer
	set *shared.Objects[*admissionv1.MutatingWebhookConfiguration]
}

func (i mutatingInformer) Informer() cache.SharedIndexInformer { return i.set }

func (i mutatingInformer) Lister() listersadmissionv1.MutatingWebhookConfigurationLister {
	return listersadmissionv1.NewMutatingWebhookConfigurationLister(i.set.Store())
}

type validatingInformer struct {
	informersadmissionv1.TypedValidatingWebhookConfigurationInformer
	set *shared.Objects[*admissionv1.ValidatingWebhookConfiguration]
}

func (i validatingInformer) Informer() cache.SharedIndexInformer { return i.set }

func (i validatingInformer) Lister() listersadmissionv1.ValidatingWebhookConfigurationLister {
	return listersadmissionv1.NewValidatingWebhookConfigurationLister(i.set.Store())
}

type coreGroup struct {
	informerscore.Interface
	feed feed
}

func (g coreGroup) V1() informerscorev1.Interface { return coreVersion{feed: g.feed} }

type coreVersion struct {
	informerscorev1.Interface
	feed feed
}

func (v coreVersion) Namespaces() informerscorev1.TypedNamespaceInformer {
	return namespaceInformer{namespaces: v.feed.namespaces}
}

type namespaceInformer struct {
	informerscorev1.TypedNamespaceInformer
	namespaces dynamic.Namespaces
}

func (i namespaceInformer) Informer() cache.SharedIndexInformer { return synced{} }

func (i namespaceInformer) Lister() listersv1.NamespaceLister { return i.namespaces.Lister() }

type synced struct{ cache.SharedIndexInformer }

func (synced) HasSynced() bool { return true }
