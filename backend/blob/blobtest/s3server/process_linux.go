package s3server

import "syscall"

// withParent ends the server with the process of the tests, however that ends.
func withParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
