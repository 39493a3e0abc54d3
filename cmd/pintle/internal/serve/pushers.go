package serve

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/registry"
)

// ImageAudience is whom tokens for pushing images are for: such a token is good
// for nothing else.
const ImageAudience = "images.pintle.dev"

// ImagePusher is the account, in kube-system, that every cluster has for
// pushing images; others are given the role of the same name, pintle:image-pusher.
const (
	ImagePusher     = "image-pusher"
	imagePusherRole = "pintle:image-pusher"
)

// pushCheckTimeout bounds the question who may push.
const pushCheckTimeout = 10 * time.Second

// pushers says who may push images: whoever has a token for ImageAudience and
// the verb push on images.pintle.dev, by RBAC like everything else; and this
// process.
type pushers struct {
	api func() registry.Access // usable when the kernel runs
	own string                 // this process's token
}

func newPushers(api func() registry.Access) *pushers { return &pushers{api: api, own: rand.Text()} }

// check is the image registry's PushCheck.
func (p *pushers) check(ctx context.Context, token string) (bool, error) {
	if subtle.ConstantTimeCompare([]byte(token), []byte(p.own)) == 1 {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, pushCheckTimeout)
	defer cancel()
	who := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{ImageAudience}}}
	who, err := review(ctx, p.api().As(auth.ImageRegistry), authenticationv1.SchemeGroupVersion.WithResource("tokenreviews"), who)
	if err != nil || !who.Status.Authenticated {
		return false, err
	}
	u := who.Status.User
	may := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: u.Username, UID: u.UID, Groups: u.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "push", Group: "pintle.dev", Resource: "images"},
	}}
	for k, v := range u.Extra {
		may.Spec.Extra[k] = authorizationv1.ExtraValue(v)
	}
	may, err = review(ctx, p.api().As(auth.ImageRegistry), authorizationv1.SchemeGroupVersion.WithResource("subjectaccessreviews"), may)
	return err == nil && may.Status.Allowed, err
}

// review asks the API a question.
func review[P runtime.Object](ctx context.Context, api registry.Registry, what schema.GroupVersionResource, question P) (P, error) {
	out, err := api.Create(ctx, registry.Target{Resource: what}, question, registry.WriteOptions{})
	if err != nil {
		return question, fmt.Errorf("%s: %w", what.Resource, err)
	}
	answer, ok := out.Answer.(P)
	if !ok {
		return question, fmt.Errorf("%s: answered a %T", what.Resource, out.Answer)
	}
	return answer, nil
}

// ensure makes the account and the role for pushing; what is there stays, and nobody is
// asked about it: a webhook that fails closed would keep images from being pushed.
func (p *pushers) ensure(ctx context.Context) error {
	rules := []rbacv1.PolicyRule{{APIGroups: []string{"pintle.dev"}, Resources: []string{"images"}, Verbs: []string{"push"}}}
	role := metav1.ObjectMeta{Name: imagePusherRole}
	rbac := rbacv1.SchemeGroupVersion
	own := p.api().As(auth.APIServer) // who gives a role holds it
	for _, x := range []struct {
		gvr             schema.GroupVersionResource
		namespace, name string
		obj             runtime.Object
	}{
		{corev1.SchemeGroupVersion.WithResource("serviceaccounts"), metav1.NamespaceSystem, ImagePusher,
			&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: ImagePusher}}},
		{rbac.WithResource("clusterroles"), "", imagePusherRole, &rbacv1.ClusterRole{ObjectMeta: role, Rules: rules}},
		{rbac.WithResource("clusterrolebindings"), "", imagePusherRole, &rbacv1.ClusterRoleBinding{
			ObjectMeta: role,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbac.Group, Kind: "ClusterRole", Name: imagePusherRole},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: ImagePusher}},
		}},
	} {
		t := registry.Target{Resource: x.gvr, Namespace: x.namespace, Name: x.name}
		_, err := own.Get(ctx, t, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			t.Name = ""
			_, err = own.Create(ctx, t, x.obj, registry.WriteOptions{FieldManager: "pintle"})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("%s for pushing images: %w", x.gvr.Resource, err)
		}
	}
	return nil
}
