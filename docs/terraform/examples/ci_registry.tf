variable "registry_password" {
  type      = string
  ephemeral = true
}

resource "ci_registry" "docker_hub" {
  host     = "docker.io"
  username = "example"
  password = var.registry_password
}
