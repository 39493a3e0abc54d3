package client

import (
	"errors"

	"github.com/pintle-io/pintle/sdk/wire"
)

// IsNotFound tells that the object does not exist.
func IsNotFound(err error) bool { return errors.Is(err, wire.ErrNotFound) }

// IsUnsupported tells that the server does not know what was asked for, as an
// object of a kind that there is not.
func IsUnsupported(err error) bool { return errors.Is(err, wire.ErrUnsupported) }

// IsConflict tells that the object changed since it was read.
func IsConflict(err error) bool { return errors.Is(err, wire.ErrConflict) }

// IsAlreadyExists tells that an object of that name exists.
func IsAlreadyExists(err error) bool { return errors.Is(err, wire.ErrAlreadyExists) }

// IsInvalid tells that validation or admission refused the object.
func IsInvalid(err error) bool { return errors.Is(err, wire.ErrInvalid) }

// IsForbidden tells that the plugin lacks a permission, a policy refused, or
// the namespace is being deleted.
func IsForbidden(err error) bool {
	return errors.Is(err, wire.ErrForbidden) || errors.Is(err, wire.ErrTerminating)
}

// IsTooManyRequests tells that the plugin writes more than it may for now, or that the
// server has too much to do: what was asked for did not happen, and may be asked again
// later.
func IsTooManyRequests(err error) bool { return errors.Is(err, wire.ErrTooMany) }

// IsUnavailable tells that the API could not answer, as when its store is away:
// what was asked for may have happened or not.
func IsUnavailable(err error) bool {
	return errors.Is(err, wire.ErrUnavailable) || errors.Is(err, wire.ErrTimeout)
}

// IsNamespaceTerminating tells that nothing can be made in the namespace any
// more, because it is being deleted.
func IsNamespaceTerminating(err error) bool { return errors.Is(err, wire.ErrTerminating) }
