// Package charts holds the checks of deploy/helm in a module of its own, since
// Helm and Kubernetes as libraries are larger than the whole project.
package charts
