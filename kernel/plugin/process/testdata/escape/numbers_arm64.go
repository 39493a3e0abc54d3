package main

import "syscall"

// Numbers of system calls that package syscall does not have everywhere.
const (
	sysMemfdCreate = syscall.SYS_MEMFD_CREATE
	sysShmget      = syscall.SYS_SHMGET
	sysMsgget      = syscall.SYS_MSGGET
	sysSemget      = syscall.SYS_SEMGET
)
