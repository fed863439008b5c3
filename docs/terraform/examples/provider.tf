terraform {
  required_providers {
    ci = { source = "ci.local/ci/ci" }
  }
}

# Its address and token are in the environment: CI_URL and CI_TOKEN.
provider "ci" {}
