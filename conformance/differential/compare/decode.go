package compare

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	apidiscoveryv2beta1 "k8s.io/api/apidiscovery/v2beta1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor/direct"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/yaml"
)

// scheme has the types of what comes as protobuf.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientscheme.AddToScheme(s))
	utilruntime.Must(apiextensionsv1.AddToScheme(s))
	utilruntime.Must(apiregistrationv1.AddToScheme(s))
	utilruntime.Must(apidiscoveryv2.AddToScheme(s))
	utilruntime.Must(apidiscoveryv2beta1.AddToScheme(s))
	utilruntime.Must(metav1.AddMetaToScheme(s))
	return s
}()

var protobuf = serializer.NewCodecFactory(scheme).UniversalDeserializer()

var protobufMagic = []byte("k8s\x00")

// decode returns what a body says as maps, slices, strings, json.Numbers and
// booleans; of a body that is no object, its text.
func decode(contentType string, body []byte) any {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = contentType
	}
	media, _, _ = strings.Cut(media, ";")
	var v any
	switch {
	case bytes.HasPrefix(body, protobufMagic):
		v, err = decodeProtobuf(body)
	case strings.HasSuffix(media, "json"):
		v, err = decodeLines(body)
	case strings.HasSuffix(media, "yaml"):
		if body, err = yaml.YAMLToJSON(body); err == nil {
			v, err = decodeLines(body)
		}
	case strings.Contains(media, "cbor"):
		if err = direct.Unmarshal(body, &v); err == nil {
			v, err = plain(v)
		}
	default:
		return string(body)
	}
	if err != nil {
		return fmt.Sprintf("(not %s: %v) %q", media, err, body)
	}
	return v
}

// decodeLines decodes JSON; several values, as a watch has them, become a
// slice.
func decodeLines(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var all []any
	for d.More() {
		var v any
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

// plain brings a value into the form that decodeLines gives.
func plain(v any) (any, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return decodeLines(b)
}

func decodeProtobuf(body []byte) (any, error) {
	o, gvk, err := protobuf.Decode(body, nil, nil)
	if err != nil {
		return nil, err
	}
	o.GetObjectKind().SetGroupVersionKind(*gvk)
	t, ok := o.(*metav1.Table)
	if !ok {
		return plain(o)
	}
	var rows []any
	for i := range t.Rows {
		row, err := decodeProtobuf(t.Rows[i].Object.Raw)
		if err != nil {
			row = fmt.Sprintf("%d bytes", len(t.Rows[i].Object.Raw))
		}
		rows = append(rows, row)
		t.Rows[i].Object.Raw = nil
	}
	table, err := plain(t)
	return map[string]any{"table": table, "objects": rows}, err
}
