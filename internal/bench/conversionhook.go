package main

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
)

// conversionHook is a conversion webhook on this machine that does what the plugin
// does.
type conversionHook struct{ *httptest.Server }

func serveConversion() conversionHook {
	s := httptest.NewUnstartedServer(http.HandlerFunc(answerConversion))
	s.EnableHTTP2 = true
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	return conversionHook{s}
}

// conversion is the part of a definition that names the webhook.
func (h conversionHook) conversion() map[string]any {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	return map[string]any{"strategy": "Webhook", "webhook": map[string]any{"conversionReviewVersions": []string{"v1"},
		"clientConfig": map[string]any{"url": h.URL, "caBundle": ca}}}
}

type conversionReview struct {
	APIVersion string              `json:"apiVersion"`
	Kind       string              `json:"kind"`
	Request    *conversionRequest  `json:"request,omitempty"`
	Response   *conversionResponse `json:"response,omitempty"`
}

type conversionRequest struct {
	UID     string           `json:"uid"`
	Desired string           `json:"desiredAPIVersion"`
	Objects []map[string]any `json:"objects"`
}

type conversionResponse struct {
	UID     string            `json:"uid"`
	Result  map[string]string `json:"result"`
	Objects []map[string]any  `json:"convertedObjects"`
}

func answerConversion(w http.ResponseWriter, r *http.Request) {
	var review conversionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(w, "no ConversionReview", http.StatusBadRequest)
		return
	}
	q := review.Request
	for _, o := range q.Objects {
		spec, _ := o["spec"].(map[string]any)
		o["apiVersion"] = q.Desired
		if address, ok := spec["address"].(string); ok {
			spec["host"], spec["port"], _ = strings.Cut(address, ":")
			delete(spec, "address")
		}
	}
	review.Request, review.Response = nil, &conversionResponse{UID: q.UID, Result: map[string]string{"status": "Success"}, Objects: q.Objects}
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(review) // a client that has gone
}
