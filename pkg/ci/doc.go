// Package ci is the dictionary of the project: every product word has one file
// with its type, its validation and its meaning. It imports the standard
// library alone, and everything else may import it.
//
// The structs here are what the store scans into, what the engine moves and
// what the command line prints. Protobuf lives at the wire only (pkg/api).
package ci
