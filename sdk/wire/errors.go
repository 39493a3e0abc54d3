package wire

import (
	"errors"
	"fmt"
	"strings"
)

// Kind classes an error so that it means the same on both sides.
type Kind uint8

// Faults of a plugin: its instance must be discarded after those that
// [Kind.Fault] names.
const (
	KindTrap     Kind = iota + 1 // it panicked or trapped
	KindDeadline                 // it did not answer in time
	KindMemory                   // it asked for more memory than it may have
	KindABI                      // it speaks another version
	KindProtocol                 // what it said cannot be understood
	KindPlugin                   // it returned an error
	KindClosed                   // the instance is closed or was discarded
)

// Answers of the API.
const (
	KindNotFound Kind = iota + 32
	KindAlreadyExists
	KindConflict
	KindInvalid
	KindForbidden
	KindBadRequest
	KindGone
	KindTooMany
	KindTimeout
	KindUnavailable
	KindUnsupported
	KindInternal
	KindTerminating // forbidden, because the namespace is being deleted
)

// Error is an error that crosses the boundary.
type Error struct {
	Kind    Kind
	Message string
}

// Error is what a user reads. Of a fault it is the first line: the stack of a
// plugin that panicked is for its author, see [Detail].
func (e *Error) Error() string {
	if !e.Kind.Fault() {
		return e.whole()
	}
	line, _, _ := strings.Cut(e.whole(), "\n")
	return line
}

// Detail is an error's text with all that a fault's [Error] holds.
func Detail(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Kind.Fault() {
		return strings.Replace(err.Error(), e.Error(), e.whole(), 1)
	}
	return err.Error()
}

func (e *Error) whole() string {
	if e.Message == "" {
		return e.Kind.String()
	}
	if e.Kind == KindPlugin || e.Kind >= KindNotFound {
		return e.Message
	}
	return e.Kind.String() + ": " + e.Message
}

// Is makes errors.Is compare kinds with the sentinels below.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Message == "" && t.Kind == e.Kind
}

// Sentinels for errors.Is.
var (
	ErrTrap     error = &Error{Kind: KindTrap}
	ErrDeadline error = &Error{Kind: KindDeadline}
	ErrMemory   error = &Error{Kind: KindMemory}
	ErrABI      error = &Error{Kind: KindABI}
	ErrProtocol error = &Error{Kind: KindProtocol}
	ErrPlugin   error = &Error{Kind: KindPlugin}
	ErrClosed   error = &Error{Kind: KindClosed}

	ErrNotFound      error = &Error{Kind: KindNotFound}
	ErrAlreadyExists error = &Error{Kind: KindAlreadyExists}
	ErrConflict      error = &Error{Kind: KindConflict}
	ErrInvalid       error = &Error{Kind: KindInvalid}
	ErrForbidden     error = &Error{Kind: KindForbidden}
	ErrBadRequest    error = &Error{Kind: KindBadRequest}
	ErrGone          error = &Error{Kind: KindGone}
	ErrTooMany       error = &Error{Kind: KindTooMany}
	ErrTimeout       error = &Error{Kind: KindTimeout}
	ErrUnavailable   error = &Error{Kind: KindUnavailable}
	ErrUnsupported   error = &Error{Kind: KindUnsupported}
	ErrInternal      error = &Error{Kind: KindInternal}
	ErrTerminating   error = &Error{Kind: KindTerminating}
)

var kindNames = map[Kind]string{
	KindTrap: "plugin trapped", KindDeadline: "plugin exceeded its deadline", KindMemory: "plugin exceeded its memory limit",
	KindABI: "plugin ABI mismatch", KindProtocol: "plugin protocol violated", KindPlugin: "plugin error", KindClosed: "plugin instance is closed",
	KindNotFound: "not found", KindAlreadyExists: "already exists", KindConflict: "conflict", KindInvalid: "invalid", KindForbidden: "forbidden",
	KindBadRequest: "bad request", KindGone: "gone", KindTooMany: "too many requests", KindTimeout: "timeout",
	KindUnavailable: "unavailable", KindUnsupported: "not supported", KindInternal: "internal error",
	KindTerminating: "namespace is being deleted",
}

func (k Kind) String() string {
	if s, ok := kindNames[k]; ok {
		return s
	}
	return fmt.Sprintf("error kind %d", uint8(k))
}

// Fault tells that the instance can no longer be trusted and must be
// discarded.
func (k Kind) Fault() bool {
	switch k {
	case KindTrap, KindDeadline, KindMemory, KindProtocol, KindClosed:
		return true
	}
	return false
}

// Race tells that others changed what was read before: the caller looks again,
// and nothing is wrong.
func (k Kind) Race() bool {
	switch k {
	case KindConflict, KindNotFound, KindAlreadyExists, KindTerminating:
		return true
	}
	return false
}

// Errorf makes an Error.
func Errorf(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Message: fmt.Sprintf(format, args...)}
}

// KindOf finds the kind of err; KindPlugin when it carries none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindPlugin
}

// AppendResult appends a response: payload on success, err otherwise.
func AppendResult(b, payload []byte, err error) []byte {
	if err == nil {
		return append(append(b, 0), payload...)
	}
	return AppendError(append(b, 1), err)
}

// AppendError appends an error as a frame.
func AppendError(b []byte, err error) []byte {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Kind: KindPlugin, Message: err.Error()}
	} else if err != error(e) { //nolint:errorlint // is it wrapped?
		e = &Error{Kind: e.Kind, Message: err.Error()}
	}
	return AppendString(append(b, byte(e.Kind)), e.Message)
}

// Error reads what AppendError wrote.
func (r *Reader) Error() error {
	e := &Error{Kind: Kind(r.Byte()), Message: r.Str()}
	if err := r.Err(); err != nil {
		return err
	}
	return e
}

// ParseResult splits a response into payload or error.
func ParseResult(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, &Error{Kind: KindProtocol, Message: "empty response"}
	}
	switch b[0] {
	case 0:
		return b[1:], nil
	case 1:
		return nil, NewReader(b[1:]).Error()
	}
	return nil, Errorf(KindProtocol, "response status %d", b[0])
}
