# What is not said here stays as it is on the server.
resource "ci_config" "this" {
  global_timeout = "2h"
  retention      = "8760h"
  keep_total     = { results = { bytes = 100 * pow(1024, 3) } }
}
