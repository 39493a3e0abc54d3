package wire

// HostCall asks the kernel for something during an operation; resp is valid
// until the next call.
type HostCall func(op HostOp, req []byte) (resp []byte, err error)
