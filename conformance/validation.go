package conformance

import (
	"context"
	"errors"
	"strings"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var validationCases = []Case{
	{Name: "validation/unknown-fields", Stands: "FieldValidation should detect unknown and duplicate fields of a typed object", Run: validationUnknown},
	{Name: "validation/defaults", Stands: "API concepts: defaulting; Pod defaults", Run: validationDefaults},
	{Name: "validation/protected-fields", Stands: "API conventions: metadata set by the system", Run: validationProtected},
}

// warnings collects what the server warns of.
type warnings struct {
	mu   sync.Mutex
	text []string
}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(code int, _ string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if code == 299 {
		w.text = append(w.text, text)
	}
}

func (w *warnings) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.text, "\n")
}

func validationUnknown(ctx context.Context, e *Env) error {
	cfg := rest.CopyConfig(e.REST)
	warned := &warnings{}
	cfg.WarningHandler = warned
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	body := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","colour":"red"},"data":{"k":"1","k":"2"}}`)
	post := func(mode string) error {
		return client.CoreV1().RESTClient().Post().Namespace(e.Namespace).Resource("configmaps").Param("fieldValidation", mode).
			SetHeader("Content-Type", "application/json").Body(body).Do(ctx).Error()
	}
	strict := post("Strict")
	errs := []error{refused("fieldValidation=Strict", strict, 400, metav1.StatusReasonBadRequest)}
	if strict != nil {
		for _, want := range []string{`unknown field "metadata.colour"`, `duplicate field "data.k"`} {
			errs = append(errs, same("the refusal names "+want, strings.Contains(strict.Error(), want), true))
		}
	}
	errs = append(errs, same("warnings of a refusal", warned.all(), ""), post("Ignore"), same("warnings with fieldValidation=Ignore", warned.all(), ""),
		client.CoreV1().ConfigMaps(e.Namespace).Delete(ctx, "a", remove), post("Warn"),
		same("fieldValidation=Warn warns of the unknown field", strings.Contains(warned.all(), `unknown field "metadata.colour"`), true))
	return errors.Join(errs...)
}

func validationDefaults(ctx context.Context, e *Env) error {
	p, err := e.Client.CoreV1().Pods(e.Namespace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: corev1.PodSpec{
		SchedulerName: nobody, Containers: []corev1.Container{{Name: "c", Image: "registry.invalid/none"}}}}, create)
	if err != nil {
		return err
	}
	c := p.Spec.Containers[0]
	return errors.Join(
		same("restartPolicy", p.Spec.RestartPolicy, corev1.RestartPolicyAlways), same("dnsPolicy", p.Spec.DNSPolicy, corev1.DNSClusterFirst),
		same("terminationGracePeriodSeconds", *p.Spec.TerminationGracePeriodSeconds, 30), same("serviceAccountName", p.Spec.ServiceAccountName, "default"),
		same("imagePullPolicy of an image without tag", c.ImagePullPolicy, corev1.PullAlways), same("terminationMessagePath", c.TerminationMessagePath, "/dev/termination-log"),
		same("phase", p.Status.Phase, corev1.PodPending), same("qosClass", p.Status.QOSClass, corev1.PodQOSBestEffort),
		same("mounts of the service account's token", len(c.VolumeMounts), 1),
	)
}

func validationProtected(ctx context.Context, e *Env) error {
	c := e.Client.CoreV1().ConfigMaps(e.Namespace)
	o := configMap("a")
	o.ResourceVersion = "5"
	_, versioned := c.Create(ctx, o, create)
	o.ResourceVersion, o.Namespace = "", "elsewhere"
	_, elsewhere := c.Create(ctx, o, create)
	made, err := c.Create(ctx, configMap("a"), create)
	if err != nil {
		return err
	}
	next := made.DeepCopy()
	next.CreationTimestamp = metav1.Unix(1, 0)
	next.Generation = 7
	next.Labels = map[string]string{"a": "b"}
	next, err = c.Update(ctx, next, update)
	if err != nil {
		return err
	}
	bad := configMap("Bad_Name")
	_, name := c.Create(ctx, bad, create)
	return errors.Join(
		same("create with a resourceVersion is refused", versioned != nil, true), refused("create for another namespace", elsewhere, 400, metav1.StatusReasonBadRequest),
		same("creationTimestamp kept", next.CreationTimestamp.Equal(&made.CreationTimestamp), true), same("generation", next.Generation, made.Generation),
		invalid("name Bad_Name", name))
}
