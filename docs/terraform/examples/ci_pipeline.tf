resource "ci_pipeline" "release" {
  name    = "release"
  program = file("${path.module}/release.star")
}
