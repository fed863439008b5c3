// Package attack tries to get out of a job, into other jobs, and at what is not
// the job's. Each attack is played from inside a real run of the real programs,
// and has to fail. The table in docs/security.md lists them; a test keeps both the same.
package attack
