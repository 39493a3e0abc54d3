package body_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/apiserver/body"
	"github.com/pintle-io/pintle/kernel/registry/patch"
)

// failing is a body that ends with an error.
type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

func (failing) Close() error { return nil }

// TestReceive: what comes in within the bounds is the body, byte for byte; what
// does not is answered as upstream does, whether or not its size was announced.
func TestReceive(t *testing.T) {
	const limit = 4 << 20
	js, yaml := "application/json", "application/yaml"
	values := "[" + strings.Repeat("1,", patch.MaxValues) + "1]"
	aliases := "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n" + "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
		"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n" + "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n" + "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n" + "g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\n"
	for name, c := range map[string]struct {
		media, body string
		hidden      bool  // its size is not announced
		fails       error // after the body
		want        func(error) bool
	}{
		"JSON":                       {media: js, body: `{"a":1}`},
		"of no announced size":       {media: js, body: `{"a":"` + strings.Repeat("x", 100_000) + `"}`, hidden: true},
		"nothing":                    {media: js},
		"as much as may be":          {media: js, body: `"` + strings.Repeat("x", limit-2) + `"`, hidden: true},
		"too much":                   {media: js, body: strings.Repeat("x", limit+1), want: apierrors.IsRequestEntityTooLargeError},
		"too much, not announced":    {media: js, body: strings.Repeat("x", limit+1), hidden: true, want: apierrors.IsRequestEntityTooLargeError},
		"too many values":            {media: js, body: values, want: apierrors.IsRequestEntityTooLargeError},
		"YAML":                       {media: yaml, body: "a: 1\n"},
		"too much YAML":              {media: yaml, body: "a: " + strings.Repeat("x", 1<<20), want: apierrors.IsRequestEntityTooLargeError},
		"as much JSON":               {media: js, body: `{"a": "` + strings.Repeat("x", 1<<20) + `"}`},
		"YAML that stands for more":  {media: yaml, body: aliases, want: apierrors.IsRequestEntityTooLargeError},
		"a client that goes":         {media: js, body: `{"a"`, fails: io.ErrUnexpectedEOF, want: apierrors.IsBadRequest},
		"one that is late":           {media: js, body: `{"a"`, fails: os.ErrDeadlineExceeded, want: func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }},
		"a type that is none at all": {media: ";;", body: `{"a":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/namespaces", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.media)
			if c.hidden || c.fails != nil {
				r.ContentLength = -1
			}
			if c.fails != nil {
				r.Body = failing{strings.NewReader(c.body), c.fails}
			}
			if got := body.Of(r); got != nil {
				t.Errorf("before it has come in: %q", got)
			}
			err := body.Receiver{Bytes: limit, Timeout: time.Minute}.Receive(httptest.NewRecorder(), r)
			if c.want != nil {
				if !c.want(err) {
					t.Errorf("got %v", err)
				}
				if got := body.Of(r); got != nil {
					t.Errorf("what was refused is a body of %d bytes", len(got))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			again, err := io.ReadAll(r.Body)
			if err != nil || string(again) != c.body || !bytes.Equal(body.Of(r), again) {
				t.Errorf("%d bytes are the body, %d are read from it, %v; want %d", len(body.Of(r)), len(again), err, len(c.body))
			}
		})
	}
}

// TestExpected: only what writes brings a body that is waited for.
func TestExpected(t *testing.T) {
	for method, want := range map[string]bool{"POST": true, "PUT": true, "PATCH": true, "DELETE": true, "GET": false, "HEAD": false, "OPTIONS": false} {
		if got := body.Expected(httptest.NewRequest(method, "/", strings.NewReader("x"))); got != want {
			t.Errorf("%s: %v", method, got)
		}
		if body.Expected(httptest.NewRequest(method, "/", nil)) {
			t.Errorf("%s without a body: one is waited for", method)
		}
	}
}
