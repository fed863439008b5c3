# What is not said here stays as it is on the server.
resource "ci_config" "this" {
  global_timeout = "2h"
  retention      = "720h"
}
