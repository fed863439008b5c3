resource "ci_ssh_key" "deploy" {
  name = "deploy"
  hosts = [{
    host = "git.example.com"
    key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
  }]
}

# What the repository has to accept, as a deploy key.
output "deploy_key" {
  value = ci_ssh_key.deploy.public_key
}
