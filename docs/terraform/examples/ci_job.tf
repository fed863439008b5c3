# A job of a repository. Its job file is read at the commit of each run.
resource "ci_job" "unit_test" {
  name = "unit-test"
  git = {
    url         = "git@git.example.com:app.git"
    config_path = "ci/unit-test.yaml"
    ssh_key     = ci_ssh_key.deploy.name
  }
  parameters = [
    { name = "LEVEL", default = "1", description = "how thorough" },
    { name = "COMMIT", description = "what the forge tells" },
  ]
  triggers = [ci_job.deploy.name]
}

# A job that needs none.
resource "ci_job" "deploy" {
  name = "deploy"
  freestyle = jsonencode({
    script  = "./deploy \"$TARGET\""
    env     = ["DEPLOY_KEY"]
    timeout = "10m"
  })
  parameters = [{ name = "TARGET", required = true }]
  keep = {
    runs    = { count = 100 }
    console = { age = "720h" }
  }
}

# Jobs of files as `ci apply -f jobs` reads them.
locals {
  files = { for f in fileset(path.module, "jobs/*.yaml") : f => yamldecode(file("${path.module}/${f}")) }
}

resource "ci_job" "of_files" {
  for_each  = local.files
  name      = each.value.name
  freestyle = try(jsonencode(each.value.freestyle), null)
  git = try({
    url         = each.value.git.url
    config_path = each.value.git.configPath
    ssh_key     = try(each.value.git.sshKey, "")
  }, null)
  parameters = [for p in try(each.value.parameters, []) : {
    name        = p.name
    default     = try(p.default, "")
    required    = try(p.required, false)
    description = try(p.description, "")
  }]
  triggers = try(each.value.triggers, [])
  keep     = try(each.value.keep, null)
}
