package main

import "syscall"

// Numbers of system calls that package syscall does not have everywhere.
const (
	sysMemfdCreate = 319
	sysShmget      = syscall.SYS_SHMGET
	sysMsgget      = syscall.SYS_MSGGET
	sysSemget      = syscall.SYS_SEMGET
)
