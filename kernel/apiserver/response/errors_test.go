package response

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/resource"
)

// TestCodes: an answer has a code that HTTP has, whoever named it: a failure is told as
// one, and no code ends the request without an answer.
func TestCodes(t *testing.T) {
	for _, x := range []struct {
		status string
		code   int32
		want   int
	}{
		{"", 0, 500}, {"Failure", 0, 500}, {"Failure", -1, 500}, {"Failure", 99999, 500}, {"Failure", 99, 500}, {"Failure", 200, 500}, {"Failure", 304, 500},
		{"Failure", 404, 404}, {"Failure", 599, 599}, {"Failure", 600, 500}, {"Success", 0, 200}, {"Success", 201, 201}, {"Success", 1, 200}, {"Success", 99999, 200},
	} {
		err := &apierrors.StatusError{ErrStatus: metav1.Status{Status: x.status, Code: x.code}}
		w := httptest.NewRecorder()
		Writer{Log: slog.New(slog.DiscardHandler)}.Fail(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), err)
		if w.Code != x.want || !strings.Contains(w.Body.String(), fmt.Sprintf(`"code":%d`, x.want)) {
			t.Errorf("%s %d: %d %s, want %d", x.status, x.code, w.Code, w.Body, x.want)
		}
	}
}

// TestOutsiders: what a webhook breaks is no error of the server's.
func TestOutsiders(t *testing.T) {
	for _, outsiders := range []bool{false, true} {
		var log bytes.Buffer
		var err error = apierrors.NewInternalError(fmt.Errorf("failed calling webhook"))
		if outsiders {
			err = fmt.Errorf("create: %w", resource.OfOutsider(err))
		}
		w := httptest.NewRecorder()
		Writer{Log: slog.New(slog.NewTextHandler(&log, nil))}.Fail(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody), err)
		if w.Code != 500 || strings.Contains(log.String(), "ERROR") == outsiders {
			t.Errorf("outsiders %t: code %d, log %s", outsiders, w.Code, log.String())
		}
	}
}
