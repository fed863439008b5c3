resource "ci_event_trigger" "unit_test" {
  name       = "unit-test"
  forge      = ci_forge.home.name
  repository = "example/app"
  job        = ci_job.unit_test.name
  events     = ["push", "pull_request"]
  branches   = ["main"]
  parameters = { COMMIT = "$${sha}" }
  supersede  = true
}
