package registry

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
)

// fault is an error of the distribution protocol.
type fault struct {
	status        int
	code, message string
}

func (f fault) Error() string { return f.message }

// answer writes a fault as the protocol wants it.
func (f fault) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	// The client is gone when this fails.
	_ = json.NewEncoder(w).Encode(map[string][]entry{"errors": {{f.code, f.message}}})
}

// statuses says how the faults of uploads are answered.
var statuses = map[error]fault{
	errTooManyUploads: {status: http.StatusTooManyRequests, code: "TOOMANYREQUESTS"},
	errNoUpload:       {status: http.StatusNotFound, code: "BLOB_UPLOAD_UNKNOWN"},
	errBusy:           {status: http.StatusConflict, code: "BLOB_UPLOAD_INVALID"},
	errOutOfOrder:     {status: http.StatusRequestedRangeNotSatisfiable, code: "BLOB_UPLOAD_INVALID"},
	errTooLarge:       {status: http.StatusRequestEntityTooLarge, code: "SIZE_INVALID"},
	errDiskFull:       {status: http.StatusInsufficientStorage, code: "DENIED"},
	errWrongDigest:    {status: http.StatusBadRequest, code: "DIGEST_INVALID"},
	// What the network does.
	os.ErrDeadlineExceeded: {status: http.StatusRequestTimeout, code: "BLOB_UPLOAD_INVALID"},
}

// asFault is how an error is answered.
func asFault(err error) fault {
	if f, ok := errors.AsType[fault](err); ok {
		return f
	}
	for e, f := range statuses {
		if errors.Is(err, e) {
			f.message = err.Error()
			return f
		}
	}
	return fault{http.StatusInternalServerError, "UNKNOWN", err.Error()}
}
