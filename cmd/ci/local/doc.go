// Package local carries a job file out on the Docker engine of whoever calls,
// with the files of their working tree: by the same runner and the same driver
// as an agent, and without a server. It runs on Linux, since its binary is what
// runs inside the containers.
package local
