package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

var renderCases = []Case{
	{Name: "render/table", Stands: "Servers with support for Table transformation should return pod details", Run: renderTable},
	{Name: "render/metadata", Stands: "API concepts: metadata-only fetches", Run: renderMetadata},
	{Name: "render/media-types", Stands: "API concepts: alternate representations of resources", Run: renderMedia},
}

func renderTable(ctx context.Context, e *Env) error {
	if _, err := e.Client.CoreV1().Pods(e.Namespace).Create(ctx, pod("p", nil), create); err != nil {
		return err
	}
	client := e.Client.CoreV1().RESTClient()
	var t metav1.Table
	b, err := client.Get().Namespace(e.Namespace).Resource("pods").SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(ctx)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return err
	}
	var columns []string
	for _, c := range t.ColumnDefinitions {
		if c.Priority == 0 {
			columns = append(columns, c.Name)
		}
	}
	errs := []error{same("kind", t.Kind, "Table"), same("columns", fmt.Sprint(columns), "[Name Ready Status Restarts Age]"), same("rows", len(t.Rows), 1)}
	if len(t.Rows) == 1 && len(t.Rows[0].Cells) > 2 {
		var row metav1.PartialObjectMetadata
		errs = append(errs, json.Unmarshal(t.Rows[0].Object.Raw, &row), same("object of the row", row.Kind+" "+row.Name, "PartialObjectMetadata p"),
			same("cells", fmt.Sprint(t.Rows[0].Cells[:3]), "[p 0/1 Pending]"))
	}
	_, err = client.Get().Namespace(e.Namespace).Resource("pods").SetHeader("Accept", "application/json;as=Sheet;v=v1;g=meta.k8s.io").DoRaw(ctx)
	return errors.Join(append(errs, refused("a representation that there is not", err, http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable))...)
}

func renderMetadata(ctx context.Context, e *Env) error {
	if _, err := makeOurs(ctx, e, "a"); err != nil {
		return err
	}
	client, err := metadata.NewForConfig(e.REST)
	if err != nil {
		return err
	}
	l, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}).Namespace(e.Namespace).List(ctx, ours(list))
	if err != nil {
		return err
	}
	if len(l.Items) != 1 || l.Items[0].Labels["ours"] != "yes" || l.Items[0].UID == "" {
		return fmt.Errorf("list is %+v, want the metadata of a", l.Items)
	}
	return same("version of the list is set", l.ResourceVersion != "", true)
}

func renderMedia(ctx context.Context, e *Env) error {
	if _, err := makeOurs(ctx, e, "a"); err != nil {
		return err
	}
	read := func(media string) (*corev1.ConfigMap, error) {
		cfg := rest.CopyConfig(e.REST)
		cfg.ContentType, cfg.AcceptContentTypes = media, media
		client, err := kubernetes.NewForConfig(cfg)
		if err != nil {
			return nil, err
		}
		o, err := client.CoreV1().ConfigMaps(e.Namespace).Get(ctx, "a", get)
		if err != nil {
			return nil, err
		}
		o.Data = map[string]string{"by": media}
		return client.CoreV1().ConfigMaps(e.Namespace).Update(ctx, o, update)
	}
	var errs []error
	for _, media := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		o, err := read(media)
		errs = append(errs, err)
		if err == nil {
			errs = append(errs, same("data written as "+media, o.Data["by"], media))
		}
	}
	client := e.Client.CoreV1().RESTClient()
	y, err := client.Get().Namespace(e.Namespace).Resource("configmaps").Name("a").SetHeader("Accept", "application/yaml").DoRaw(ctx)
	errs = append(errs, err, same("YAML begins with apiVersion", bytes.HasPrefix(y, []byte("apiVersion: v1\n")), true))
	p, err := client.Get().Namespace(e.Namespace).Resource("configmaps").Name("a").SetHeader("Accept", "application/vnd.kubernetes.protobuf").DoRaw(ctx)
	errs = append(errs, err, same("protobuf begins with k8s and 0", bytes.HasPrefix(p, []byte("k8s\x00")), true))
	err = client.Post().Namespace(e.Namespace).Resource("configmaps").SetHeader("Content-Type", "text/plain").Body([]byte("x")).Do(ctx).Error()
	return errors.Join(append(errs, refused("a body of text/plain", err, http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType))...)
}
