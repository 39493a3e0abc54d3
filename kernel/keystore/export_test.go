package keystore

import (
	"encoding/json"

	"github.com/pintle-io/pintle/kernel/auth/pki"
)

// Staged is the content of the staged file.
func Staged(k *pki.Keys) ([]byte, error) { return json.Marshal(k.Files()) }
