// Package cluster asks a real Kubernetes about the chart: an API server with
// RBAC, its etcd, and the controllers. There are no nodes, so no container
// runs: what a kubelet would report of a pod, a test reports.
//
// Its tests need $CI_KUBERNETES, the folder with both programs; `make
// test-kubernetes` builds them and runs the tests.
package cluster
