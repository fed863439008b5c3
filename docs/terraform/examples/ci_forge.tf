variable "webhook_secret" {
  type      = string
  ephemeral = true
}

resource "ci_forge" "home" {
  name           = "home"
  kind           = "gitea"
  url            = "https://git.example.com"
  webhook_secret = var.webhook_secret
}
