package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var listCases = []Case{
	{Name: "list/pages", Stands: "Servers with support for API chunking should return chunks of results for list calls", Run: listPages},
	{Name: "list/labels", Stands: "Labels and selectors: set-based requirement", Run: listLabels},
	{Name: "list/fields", Stands: "Field selectors", Run: listFields},
	{Name: "list/versions", Stands: "API concepts: resourceVersion and resourceVersionMatch in list", Run: listVersions},
}

func listPages(ctx context.Context, e *Env) error {
	const n = 23
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	for i := range n {
		if _, err := makeOurs(ctx, e, fmt.Sprintf("o%02d", i)); err != nil {
			return err
		}
	}
	var errs []error
	var names []string
	first := ""
	// No selector: only then is the number of the rest told.
	for o := (metav1.ListOptions{Limit: 10}); ; {
		l, err := c.List(ctx, o)
		if err != nil {
			return err
		}
		for _, x := range l.Items {
			if x.Labels["ours"] != "" {
				names = append(names, x.Name)
			}
		}
		if first == "" {
			first = l.ResourceVersion
			if l.RemainingItemCount == nil || *l.RemainingItemCount < n-10 {
				errs = append(errs, fmt.Errorf("remainingItemCount of the first page is %v, want %d or more", l.RemainingItemCount, n-10))
			}
			// Later pages show the moment of the first.
			if err := c.Delete(ctx, "o22", remove); err != nil {
				return err
			}
			if _, err := makeOurs(ctx, e, "o99"); err != nil {
				return err
			}
		}
		errs = append(errs, same("resourceVersion of a page", l.ResourceVersion, first), same("page within the limit", len(l.Items) <= 10, true))
		if l.Continue == "" {
			break
		}
		o.Continue = l.Continue
	}
	return errors.Join(append(errs, same("objects of all pages", len(names), n), same("last object", names[len(names)-1], "o22"))...)
}

func listLabels(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	for name, labels := range map[string]map[string]string{"a": {"t": "x", "tier": "1"}, "b": {"t": "x", "tier": "2"}, "c": {"t": "x"}} {
		o := configMap(name)
		o.Labels = labels
		if _, err := c.Create(ctx, o, create); err != nil {
			return err
		}
	}
	var errs []error
	for selector, want := range map[string]string{
		"t": "a b c", "t=x,tier=1": "a", "t,tier!=1": "b c", "tier in (1,2)": "a b", "t,tier notin (2)": "a c", "t,!tier": "c", "tier>1": "b", "t=y": "",
	} {
		l, err := c.List(ctx, metav1.ListOptions{LabelSelector: selector})
		errs = append(errs, err, same("objects of "+selector, names(l.Items), want))
	}
	_, bad := c.List(ctx, metav1.ListOptions{LabelSelector: "a in"})
	return errors.Join(append(errs, refused("selector `a in`", bad, 400, metav1.StatusReasonBadRequest))...)
}

func names(l []corev1.ConfigMap) string {
	var out []string
	for _, o := range l {
		out = append(out, o.Name)
	}
	return strings.Join(out, " ")
}

func listFields(ctx context.Context, e *Env) error {
	if _, err := makeOurs(ctx, e, "a", "b"); err != nil {
		return err
	}
	l, err := e.Client.CoreV1().ConfigMaps(e.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name!=a,metadata.namespace=" + e.Namespace, LabelSelector: "ours"})
	errs := []error{err, same("objects whose name is not a", names(l.Items), "b")}
	for _, name := range []string{"p", "q"} {
		if _, err := e.Client.CoreV1().Pods(e.Namespace).Create(ctx, pod(name, nil), create); err != nil {
			return err
		}
	}
	for selector, want := range map[string]int{"status.phase=Pending": 2, "status.phase!=Pending": 0, "spec.nodeName=": 2, "spec.schedulerName=" + nobody: 2, "spec.restartPolicy=Always,metadata.name=q": 1} {
		l, err := e.Client.CoreV1().Pods(e.Namespace).List(ctx, metav1.ListOptions{FieldSelector: selector})
		errs = append(errs, err, same("pods of "+selector, len(l.Items), want))
	}
	_, bad := e.Client.CoreV1().Pods(e.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.colour=red"})
	return errors.Join(append(errs, refused("a field that cannot be selected", bad, 400, metav1.StatusReasonBadRequest))...)
}

func listVersions(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	a, err := makeOurs(ctx, e, "a")
	if err != nil {
		return err
	}
	if _, err := makeOurs(ctx, e, "b"); err != nil {
		return err
	}
	at := func(v string, m metav1.ResourceVersionMatch) (string, string, error) {
		l, err := c.List(ctx, ours(metav1.ListOptions{ResourceVersion: v, ResourceVersionMatch: m}))
		if err != nil {
			return "", "", err
		}
		return names(l.Items), l.ResourceVersion, nil
	}
	exact, rev, err := at(a.ResourceVersion, metav1.ResourceVersionMatchExact)
	errs := []error{err, same("objects exactly then", exact, "a"), same("version of that list", rev, a.ResourceVersion)}
	fresh, _, err := at("", "")
	errs = append(errs, err, same("objects of the most recent list", fresh, "a b"))
	after, _, err := at(a.ResourceVersion, metav1.ResourceVersionMatchNotOlderThan)
	errs = append(errs, err, same("a list not older than a has a", strings.HasPrefix(after, "a"), true))
	_, _, err = at("0", "")
	_, _, orphan := at("", metav1.ResourceVersionMatchExact)
	// The answer asks to retry, which the client would do for half a minute.
	future := e.Client.CoreV1().RESTClient().Get().Namespace(e.Namespace).Resource("configmaps").Param("resourceVersion", "9000000000000000000").
		Param("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan)).MaxRetries(0).Do(ctx).Error()
	errs = append(errs, err, invalid("Exact without a version", orphan), refused("a version of the future", future, http.StatusGatewayTimeout, metav1.StatusReasonTimeout))
	if future != nil && !apierrors.HasStatusCause(future, metav1.CauseTypeResourceVersionTooLarge) {
		errs = append(errs, fmt.Errorf("the refusal lacks the cause %s: %w", metav1.CauseTypeResourceVersionTooLarge, future))
	}
	return errors.Join(errs...)
}
