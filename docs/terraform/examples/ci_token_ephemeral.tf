# A token for as long as the apply takes, and in no state: here for a provider
# that may do less.
ephemeral "ci_token" "maintainer" {
  name     = "terraform"
  role     = "maintain"
  lifetime = "15m"
}

provider "ci" {
  alias = "maintainer"
  token = ephemeral.ci_token.maintainer.bearer
}
