// Package conversion brings custom objects to another version, by the webhook or the
// plugin that their definition names.
//
// It is upstream's contract (ConversionReview of apiextensions.k8s.io/v1 or
// v1beta1): who converts changes what he likes but kind, name, namespace and uid; of the
// metadata only labels and annotations are taken from him. What he answers is
// checked here. How a webhook is reached is the business of whoever makes the
// [Clients], how a plugin is asked that of the [Plugins].
package conversion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Converter converts the objects of one definition. It is immutable and safe for
// concurrent use.
type Converter struct {
	name string                                                      // for people: "conversion webhook"
	show func(*unstructured.Unstructured) *unstructured.Unstructured // what of an object is shown; nil: all
	ask  func(ctx context.Context, objects []runtime.RawExtension, to schema.GroupVersion) ([]runtime.RawExtension, error)
}

// Plugins convert objects, as JSON and whole but for metadata.managedFields.
type Plugins interface {
	Convert(ctx context.Context, name string, objects [][]byte, to string) ([][]byte, error)
}

// PluginAnnotation of a definition whose strategy is None names the plugin that converts
// its objects. On Kubernetes it means nothing, and versions differ in their names only.
// RATIONALE.md: "Why does an annotation name the plugin that converts?"
const PluginAnnotation = "pintle.dev/conversion-plugin"

// PluginOf is the name of the plugin that converts a definition's objects; "" is none.
func PluginOf(crd *apiextensionsv1.CustomResourceDefinition) string {
	if c := crd.Spec.Conversion; c != nil && c.Strategy != apiextensionsv1.NoneConverter {
		return ""
	}
	return crd.Annotations[PluginAnnotation]
}

// New makes the Converter of a definition, nil when its versions differ in nothing but
// their name.
//
// # Errors
// The definition names a webhook that cannot be called, which validation lets pass
// or refuses.
func New(crd *apiextensionsv1.CustomResourceDefinition, clients Clients, plugins Plugins) (*Converter, error) {
	if name := PluginOf(crd); name != "" {
		if plugins == nil {
			return nil, errors.New("this server asks no plugins to convert")
		}
		return &Converter{name: fmt.Sprintf("conversion by plugin %q", name), show: withoutManagers, ask: byPlugin{plugins, name}.ask}, nil
	}
	w, err := newWebhook(crd, clients)
	if w == nil || err != nil {
		return nil, err
	}
	return &Converter{name: "conversion webhook", ask: w.ask}, nil
}

// withoutManagers is an object without what is often half of it and no converter can change.
// It shares the rest with the object.
func withoutManagers(u *unstructured.Unstructured) *unstructured.Unstructured {
	meta, ok := u.Object["metadata"].(map[string]any)
	if !ok || meta["managedFields"] == nil {
		return u
	}
	meta = maps.Clone(meta)
	delete(meta, "managedFields")
	object := maps.Clone(u.Object)
	object["metadata"] = meta
	return &unstructured.Unstructured{Object: object}
}

// byPlugin asks a plugin.
type byPlugin struct {
	plugins Plugins
	name    string
}

func (p byPlugin) ask(ctx context.Context, objects []runtime.RawExtension, to schema.GroupVersion) ([]runtime.RawExtension, error) {
	in := make([][]byte, len(objects))
	for i := range objects {
		in[i] = objects[i].Raw
	}
	answer, err := p.plugins.Convert(ctx, p.name, in, to.String())
	if err != nil {
		return nil, err
	}
	out := make([]runtime.RawExtension, len(answer))
	for i := range answer {
		out[i].Raw = answer[i]
	}
	return out, nil
}

// longest ends a call, as that of an admission webhook.
const longest = 30 * time.Second

// Convert gives objects of one definition in another version, in their order. in is not
// changed, and the result shares nothing with it. What does not fit into one review is
// asked in several.
//
// # Errors
//   - the webhook or the plugin cannot be reached, refuses, or answers something else; no
//     object is converted then
func (c *Converter) Convert(ctx context.Context, in []*unstructured.Unstructured, to schema.GroupVersion) ([]*unstructured.Unstructured, error) {
	out := make([]*unstructured.Unstructured, 0, len(in))
	for rest := in; len(rest) > 0; rest = in[len(out):] {
		batch, err := c.fitting(rest)
		var part []*unstructured.Unstructured
		if err == nil {
			part, err = c.batch(ctx, rest[:len(batch)], batch, to)
		}
		if err != nil {
			return nil, fmt.Errorf("%s for %s failed: %w", c.name, rest[0].GroupVersionKind(), err)
		}
		out = append(out, part...)
	}
	return out, nil
}

// MaxReview bounds the objects of a review, in bytes, but for a single one. Who converts is
// given all objects of a list at once, as upstream does, but has not to hold any number.
const MaxReview = 8 << 20

// fitting are the first objects, at least one, that fit into a review.
func (c *Converter) fitting(in []*unstructured.Unstructured) (out []runtime.RawExtension, err error) {
	size := 0
	for _, u := range in {
		if c.show != nil {
			u = c.show(u)
		}
		raw, err := u.MarshalJSON()
		if err != nil {
			return nil, err
		}
		if size += len(raw); size > MaxReview && len(out) > 0 {
			return out, nil
		}
		out = append(out, runtime.RawExtension{Raw: bytes.TrimRight(raw, "\n")})
	}
	return out, nil
}

// batch converts what one review holds.
func (c *Converter) batch(ctx context.Context, in []*unstructured.Unstructured, raw []runtime.RawExtension, to schema.GroupVersion) ([]*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	answer, err := c.ask(ctx, raw, to)
	if err != nil {
		return nil, err
	}
	if len(answer) != len(in) {
		return nil, fmt.Errorf("it returned %d objects, expected %d", len(answer), len(in))
	}
	out := make([]*unstructured.Unstructured, len(in))
	for i := range answer {
		u, err := unstructuredOf(answer[i])
		if err == nil {
			err = check(in[i], u, to)
		}
		if err != nil {
			return nil, fmt.Errorf("%w (object %d of %d)", err, i+1, len(in))
		}
		out[i] = u
	}
	return out, nil
}

func unstructuredOf(x runtime.RawExtension) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(x.Raw); err != nil {
		return nil, fmt.Errorf("it returned an invalid object: %w", err)
	}
	return u, nil
}

// check refuses an answer that is another object, and gives it in's metadata but
// for labels and annotations.
func check(in, out *unstructured.Unstructured, to schema.GroupVersion) error {
	for _, x := range []struct{ what, want, got string }{
		{"groupVersion", to.String(), out.GetAPIVersion()}, {"kind", in.GetKind(), out.GetKind()}, {"name", in.GetName(), out.GetName()},
		{"namespace", in.GetNamespace(), out.GetNamespace()}, {"UID", string(in.GetUID()), string(out.GetUID())},
	} {
		if x.want != x.got {
			return fmt.Errorf("it returned an invalid object: %s must be %q, not %q", x.what, x.want, x.got)
		}
	}
	theirs, ok := out.Object["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("it returned an invalid object: metadata is of type %T", out.Object["metadata"])
	}
	ours, _ := in.Object["metadata"].(map[string]any)
	meta := runtime.DeepCopyJSON(ours)
	if meta == nil {
		meta = map[string]any{}
	}
	for _, name := range []string{"labels", "annotations"} {
		delete(meta, name)
		if v, ok := theirs[name]; ok && v != nil {
			if _, ok := v.(map[string]any); !ok {
				return fmt.Errorf("it returned an invalid object: metadata.%s is of type %T", name, v)
			}
			meta[name] = v
		}
	}
	out.Object["metadata"] = meta
	for _, err := range validateTexts(out) {
		return err
	}
	return nil
}

// validateTexts checks that labels and annotations are texts.
func validateTexts(out *unstructured.Unstructured) (errs []error) {
	for _, name := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(out.Object, "metadata", name); err != nil {
			errs = append(errs, fmt.Errorf("it returned an invalid object: %w", err))
		}
	}
	return errs
}
