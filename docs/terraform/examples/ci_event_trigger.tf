# The forge is made with `ci forge`; docs/guides/github.md says how.
resource "ci_event_trigger" "unit_test" {
  name       = "unit-test"
  repository = "example/app"
  job        = ci_job.unit_test.name
  events     = ["push", "pull_request"]
  branches   = ["main"]
  parameters = { COMMIT = "$${sha}" }
  supersede  = true
}
