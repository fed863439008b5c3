# Given by TF_VAR_deploy_key. Being ephemeral, it is in no plan and no state.
variable "deploy_key" {
  type      = string
  ephemeral = true
}

resource "ci_secret" "deploy_key" {
  job           = ci_job.deploy.name
  name          = "DEPLOY_KEY"
  value         = var.deploy_key
  value_version = 1 # raise it to have a new value set
}
