package jointoken

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Server is the token by which a server joins: its secret opens the cluster's
// keys in the store.
//
//	ps1.abcdefgh.<64 hex digits>
//
// The secret is 32 random bytes and never words of a person: whoever reads the
// store may try as many as he likes.
type Server struct {
	ID     string // eight characters, public
	Secret []byte // 32 bytes
}

const serverVersion = "ps1"

var serverPattern = regexp.MustCompile(`^[a-z0-9]{8}$`)

// NewServer makes a token.
func NewServer() (Server, error) {
	id, err := random(8)
	if err != nil {
		return Server{}, err
	}
	t := Server{ID: id, Secret: make([]byte, 32)}
	_, err = rand.Read(t.Secret)
	return t, err
}

// ParseServer reads a server's token.
func ParseServer(s string) (Server, error) {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if parts[0] == version {
		return Server{}, errors.New("server token: this is one of a node (" + version + "), with which a server does not join")
	}
	if len(parts) != 3 || parts[0] != serverVersion || !IsServerID(parts[1]) || !hashPattern.MatchString(parts[2]) {
		return Server{}, errors.New("server token: not of the form " + serverVersion + ".<id>.<64 hex digits>")
	}
	secret, err := hex.DecodeString(parts[2])
	return Server{ID: parts[1], Secret: secret}, err
}

// IsServerID reports that an ID is that of a server's token rather than of a
// node's.
func IsServerID(id string) bool { return serverPattern.MatchString(id) }

// Format writes the whole token, secret included.
func (t Server) Format() string {
	return strings.Join([]string{serverVersion, t.ID, hex.EncodeToString(t.Secret)}, ".")
}

// String hides the secret: a token may end up in a log.
func (t Server) String() string { return serverVersion + "." + t.ID + ".****************" }

// GoString hides the secret from %#v as well.
func (t Server) GoString() string { return t.String() }

var _ fmt.Stringer = Server{}
