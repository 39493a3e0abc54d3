package apply

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// send posts the batch of all objects.
func (a *atomic) send(ctx context.Context) (*v1alpha1.Batch, error) {
	body, err := a.batch()
	if err != nil {
		return nil, err
	}
	config, err := a.factory.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	c, err := client.REST(config)
	if err != nil {
		return nil, err
	}
	req := c.Post().AbsPath("/apis", v1alpha1.Group, v1alpha1.Version, v1alpha1.Batches.Resource).Param("fieldManager", a.FieldManager).Param("fieldValidation", a.ValidationDirective).
		SetHeader("Content-Type", runtime.ContentTypeJSON).SetHeader("Accept", runtime.ContentTypeJSON).Body(body)
	if a.DryRunStrategy == cmdutil.DryRunServer {
		req = req.Param("dryRun", metav1.DryRunAll)
	}
	res := req.Do(ctx)
	if err := res.Error(); err != nil {
		return nil, err
	}
	raw, err := res.Raw()
	if err != nil {
		return nil, err
	}
	b := &v1alpha1.Batch{}
	if err := json.Unmarshal(raw, b); err != nil {
		return nil, fmt.Errorf("the server's answer: %w", err)
	}
	if len(b.Status.Items) != len(a.infos) {
		return nil, fmt.Errorf("the server answered for %d objects of %d", len(b.Status.Items), len(a.infos))
	}
	return b, nil
}

func (a *atomic) batch() ([]byte, error) {
	b := v1alpha1.Batch{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Batch"}}
	for _, info := range a.infos {
		raw, err := runtime.Encode(unstructured.UnstructuredJSONScheme, info.Object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", at(info), err)
		}
		b.Spec.Items = append(b.Spec.Items, v1alpha1.BatchItem{Verb: "apply", Force: a.ForceConflicts, Object: &runtime.RawExtension{Raw: raw}})
	}
	return json.Marshal(&b)
}

// refused words what became of the batch: which objects were refused, where they were
// read, why, and that nothing was written, if that is known.
func (a *atomic) refused(err error) error {
	st, ok := errors.AsType[*apierrors.StatusError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return err // in kubectl's words
	case !ok:
		return fmt.Errorf("%w\nthe server may have got the batch: all of it was written or nothing; look before you try again", err)
	}
	lines, conflict := a.causes(st)
	switch code := st.ErrStatus.Code; {
	case len(lines) > 0 && code < http.StatusInternalServerError:
		lines = append([]string{fmt.Sprintf("%d of %d objects refused, %s:", len(lines), len(a.infos), nothing)}, lines...)
		if conflict {
			lines = append(lines, "--force-conflicts takes the fields from who has them; or leave them out of the files")
		}
	case len(lines) > 0:
		lines = append([]string{"the server failed; all of the batch was written or nothing, look before you try again:"}, lines...)
	case code == http.StatusNotFound:
		lines = []string{"the server has no batches." + v1alpha1.Group + ": --atomic is for servers of Pintle; " + nothing}
	case code == http.StatusRequestEntityTooLarge:
		lines = []string{err.Error() + ": apply fewer objects at a time; " + nothing}
	case code < http.StatusInternalServerError:
		lines = []string{err.Error() + "; " + nothing}
	default:
		lines = []string{err.Error() + "; all of the batch was written or nothing, look before you try again"}
	}
	return errors.New(strings.Join(lines, "\n"))
}

// causes are the objects that the server refused, one a line. conflict: one of them
// has fields of another manager.
func (a *atomic) causes(st *apierrors.StatusError) (lines []string, conflict bool) {
	if st.ErrStatus.Details == nil {
		return nil, false
	}
	for _, c := range st.ErrStatus.Details.Causes {
		var i int
		if n, _ := fmt.Sscanf(c.Field, "spec.items[%d]", &i); n != 1 || i < 0 || i >= len(a.infos) {
			continue
		}
		lines = append(lines, fmt.Sprintf("  %s: %s", at(a.infos[i]), c.Message))
		conflict = conflict || c.Type == metav1.CauseType(metav1.StatusReasonConflict) && strings.Contains(c.Message, "conflict with")
	}
	return lines, conflict
}
