package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// classify turns an error of etcd's client into one that callers act on.
// Context errors stay as they are.
func classify(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	switch known := rpctypes.Error(err); {
	case errors.Is(known, rpctypes.ErrCompacted):
		return ErrCompacted
	case errors.Is(known, rpctypes.ErrFutureRev):
		return ErrFuture
	case errors.Is(known, rpctypes.ErrTooManyOps):
		return fmt.Errorf("%w: this etcd takes fewer operations, start it with --max-txn-ops=%d", ErrTooLarge, MaxOps)
	case errors.Is(known, rpctypes.ErrRequestTooLarge):
		return fmt.Errorf("%w: more bytes than this etcd's --max-request-bytes", ErrTooLarge)
	case errors.Is(known, rpctypes.ErrNoSpace):
		return fmt.Errorf("%w: etcd reached its quota; `pintle store status` says what to do, an external etcd is to be compacted, defragmented and disarmed", ErrNoSpace)
	}
	switch code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case codes.ResourceExhausted:
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

// code is the gRPC code of an error, whichever of its two forms it has: the
// client's own type or a status.
func code(err error) codes.Code {
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return known.Code()
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return codes.Unknown
}
