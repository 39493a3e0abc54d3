package body

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/registry/patch"
	"github.com/pintle-io/pintle/kernel/resource/cost"
)

const (
	// yamlPrice is what a YAML parser takes for each byte that it reads.
	yamlPrice = 256
	// maxYAML is the largest body in YAML; JSON may be larger.
	maxYAML = 1 << 20
)

// weigh estimates the memory that a body takes when it is decoded, or refuses
// it.
func weigh(r *http.Request, data []byte) (int64, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		media = negotiation.JSON // what it is, will be said where it is decoded
	}
	if strings.Contains(media, "protobuf") {
		return price(cost.Protobuf(bytes.TrimPrefix(data, []byte("k8s\x00"))))
	}
	if strings.HasSuffix(media, "json") || json.Valid(data) {
		return price(cost.JSON(data))
	}
	return weighYAML(data)
}

func price(values int) (int64, error) {
	if values > patch.MaxValues {
		return 0, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the limit is %d values, the body has %d", patch.MaxValues, values))
	}
	return int64(values) * cost.ValueBytes, nil
}

func weighYAML(data []byte) (int64, error) {
	if len(data) > maxYAML {
		return 0, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d for YAML; send JSON", maxYAML))
	}
	if bytes.IndexByte(data, '*') >= 0 && bytes.IndexByte(data, '&') >= 0 {
		n, err := cost.YAML(data, patch.MaxBytes)
		if err != nil {
			return 0, apierrors.NewBadRequest(err.Error())
		}
		if n > patch.MaxBytes {
			return 0, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d, with what its YAML aliases stand for", patch.MaxBytes))
		}
	}
	return int64(len(data)) * yamlPrice, nil
}
