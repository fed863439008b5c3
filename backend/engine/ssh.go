package engine

import (
	"context"

	"ci/pkg/ci"
)

// SSHKeys reads key pairs with their private keys; backend/secret/sealed is one.
type SSHKeys interface {
	// Access returns ci.CodeNotFound for a name that nobody has.
	Access(ctx context.Context, name string) (*ci.SSHAccess, error)
}

// sshAccess is the key pair that a job names; nil when it names none. A key
// that is not there is final.
func (e *Engine) sshAccess(ctx context.Context, job string, git *ci.Git) (*ci.SSHAccess, error) {
	if git == nil || git.SSHKey == "" {
		return nil, nil
	}
	if e.SSHKeys == nil {
		return nil, ci.Errorf(ci.CodeConflict, "this run needs the SSH key %s, and the agent that took it can't open it: it was started without the key; give it --secret-key with the file that the cids use", git.SSHKey)
	}
	access, err := e.SSHKeys.Access(ctx, git.SSHKey)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return nil, ci.Errorf(ci.CodeInvalid, "%s", missingKey(job, git.SSHKey))
	}
	return access, err
}

func missingKey(job, key string) string {
	return "job " + job + " names the SSH key " + key + ", and there is none of that name; make it with `ci ssh-key create " + key + "`, or name another in git.sshKey"
}

// giveSSH reads the run's SSH key.
func (e *Engine) giveSSH(ctx context.Context, run *ci.Run, work *ci.Work) (err error) {
	work.SSH, err = e.sshAccess(ctx, run.Job, run.Git)
	return err
}

// checkSSH says, when a run is planned, that its job file wants a key that the job has not.
func checkSSH(run *ci.Run, spec *ci.Spec) error {
	if spec.SSH && (run.Git == nil || run.Git.SSHKey == "") {
		return ci.Errorf(ci.CodeInvalid, "the job file says ssh: true, and job %s names no SSH key; name one in its git.sshKey, or leave ssh out", run.Job)
	}
	return nil
}

// checkKey says, when a job is triggered, that the key it names is not there.
func (e *Engine) checkKey(ctx context.Context, job *ci.Job) error {
	if job.Git == nil || job.Git.SSHKey == "" {
		return nil
	}
	_, err := e.Store.GetSSHKey(ctx, job.Git.SSHKey)
	if ci.CodeOf(err) == ci.CodeNotFound {
		return ci.Errorf(ci.CodeConflict, "%s", missingKey(job.Name, job.Git.SSHKey))
	}
	return err
}
