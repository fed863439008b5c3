# A token that lasts. It is in the state, marked as sensitive.
resource "ci_token" "dashboard" {
  name = "dashboard"
  role = "read"
  jobs = [ci_job.unit_test.name]
}

output "dashboard_token" {
  value     = ci_token.dashboard.bearer
  sensitive = true
}
