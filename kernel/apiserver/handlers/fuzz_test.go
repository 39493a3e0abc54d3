package handlers

import (
	"net/http"
	"net/url"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/resource"
)

func FuzzListOptions(f *testing.F) {
	for _, s := range []string{"labelSelector=a%3Db,c%20in%20(d,e)", "fieldSelector=metadata.name%3Dx", "limit=-1", "watch=1&sendInitialEvents=true",
		"resourceVersion=5&resourceVersionMatch=Exact&limit=3", "continue=abc", "timeoutSeconds=1e9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		c := &endpoint.Request{R: &http.Request{URL: &url.URL{RawQuery: query}}, Endpoint: endpoint.Endpoint{Version: "v1", Def: &resource.Definition{Kind: "Pod", Resource: "pods"}}}
		o, err := listOptions(c)
		if err != nil {
			if code := response.Status(err).Code; code != http.StatusBadRequest && code != http.StatusUnprocessableEntity {
				t.Errorf("%v is a %d", err, code)
			}
			return
		}
		// What is passed on must be what the registry can read.
		if _, err := labels.Parse(o.LabelSelector); err != nil {
			t.Errorf("label selector %q: %v", o.LabelSelector, err)
		}
		if _, err := fields.ParseSelector(o.FieldSelector); err != nil {
			t.Errorf("field selector %q: %v", o.FieldSelector, err)
		}
	})
}

func FuzzDeleteOptionsProtobuf(f *testing.F) {
	o := &metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{Kind: "DeleteOptions", APIVersion: "v1"}}
	good, err := response.EncodeMeta(o, negotiation.Accepted{Media: negotiation.Protobuf})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("k8s\x00"))
	r := &http.Request{Header: http.Header{"Content-Type": {negotiation.Protobuf}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got metav1.DeleteOptions
		if err := decodeDeleteOptions(r, data, &got); err != nil {
			return
		}
		if _, err := got.Marshal(); err != nil {
			t.Errorf("decoded to what cannot be encoded: %v", err)
		}
	})
}
